import { type Logger, pino } from 'pino';

/** A logger that says nothing; `SHOAL_TEST_LOG=debug` makes it speak. */
export function testLogger(): Logger {
  return pino({ level: process.env['SHOAL_TEST_LOG'] ?? 'silent' });
}
