import { StorageInternalError, StorageUnavailableError } from '../errors.ts';
import type { AnswerStream } from './exchange.ts';
import { LineTooLongError, readLines } from './ndjson.ts';
import { type FailedCall, fromWire } from './wire-errors.ts';

/**
 * The lines of an answer that is a list of JSON values. Its last line says that it is whole, or what went wrong on the way; an
 * answer without one was cut. @throws StorageDriverError
 */
export async function* readAnswerLines(answer: AnswerStream, call: FailedCall): AsyncIterable<object> {
  const { driverName, path } = call;
  let isComplete = false;
  try {
    for await (const text of readLines(answer)) {
      const line = parseLine(text);
      if (line === undefined) {
        const message = `a line of the driver's answer is no JSON object: ${text.slice(0, 200)}`;
        throw new StorageInternalError(driverName, path, message);
      }
      if ('error' in line) throw fromWire(line.error, call);
      // Read on to the end all the same, so that the connection can be used again.
      if ('complete' in line) isComplete = true;
      else yield line;
    }
  } catch (error) {
    if (!(error instanceof LineTooLongError)) throw error;
    throw new StorageInternalError(driverName, path, `the driver's answer has ${error.message}`, { cause: error });
  } finally {
    answer.destroy();
  }
  if (isComplete) return;
  throw new StorageUnavailableError(
    driverName,
    path,
    "the driver's answer has no last line, so that a part may be missing",
  );
}

function parseLine(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined; // Said by the caller.
  }
}
