import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as core from '../../src/core/index.ts';
import { AppError, fromWireError, toWireError, UnavailableError, type WireError } from '../../src/core/index.ts';

type ErrorClass = new (message: string, details?: core.ErrorDetails, options?: ErrorOptions) => AppError;

/** Every concrete error class that core exports: a new one is under test without being listed here. */
const classes: readonly (readonly [string, ErrorClass])[] = Object.entries(core).flatMap(([name, value]) =>
  typeof value === 'function' && value.prototype instanceof AppError ? [[name, value as unknown as ErrorClass]] : [],
);
/** Never crosses to another program: it is thrown while a program starts. */
const staysAtHome = new Set(['ConfigError']);

const anyDetails = fc.dictionary(
  fc.stringMatching(/^[a-z][A-Za-z]{0,10}$/),
  fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.array(fc.string(), { maxLength: 3 })),
  { maxKeys: 4 },
);

describe('error classes', () => {
  it('are found', () => {
    expect(classes.length).toBeGreaterThanOrEqual(19);
  });

  it.each(classes)('%s carries name, message, details and cause', (name, ErrorClass) => {
    const cause = new Error('below');
    const error = new ErrorClass('what went wrong', { size: 3 }, { cause });
    expect(error).toMatchObject({ name, message: 'what went wrong', details: { size: 3 }, cause });
    expect(error.code).toMatch(/^[A-Z][A-Z_]+$/);
    expect(error.retryable).toBe(name === 'UnavailableError');
    expect(error.stack).toContain('errors.test.ts');
  });

  it('each have a code of their own', () => {
    const codes = classes.map(([, ErrorClass]) => new ErrorClass('').code);
    expect(new Set(codes).size).toBe(codes.length);
  });

  it.each(classes.filter(([name]) => !staysAtHome.has(name)))(
    '%s crosses to another program whole',
    (_name, ErrorClass) => {
      fc.assert(
        fc.property(fc.string(), anyDetails, (message, details) => {
          const sent = JSON.stringify(toWireError(new ErrorClass(message, details)));
          const received = fromWireError(JSON.parse(sent) as WireError);
          expect(received).toBeInstanceOf(ErrorClass);
          expect(received.constructor).toBe(ErrorClass);
          expect(received.message).toBe(message);
          expect({ ...received.details }).toEqual({ ...details });
        }),
        { numRuns: 30 },
      );
    },
  );
});

describe('errors that are not ours', () => {
  it.each([[new Error('password=hunter2')], [new TypeError('x is not a function')], ['text'], [undefined], [null]])(
    'tell nothing of themselves: %s',
    (thrown) => {
      expect(toWireError(thrown)).toEqual({
        code: 'INTERNAL',
        message: 'internal error; the log of the program that answered has it',
      });
    },
  );

  it.each(['INTERNAL', 'FROM_A_LATER_VERSION', '', 'toString', '__proto__', 'CONFIG_INVALID'])(
    'with the code %j are taken as a program that does not answer',
    (code) => {
      const error = fromWireError({ code, message: 'm', details: { role: 'origin' } });
      expect(error).toBeInstanceOf(UnavailableError);
      expect(error).toMatchObject({ message: 'm', details: { role: 'origin' }, retryable: true });
    },
  );

  it('do not need details', () => {
    expect(fromWireError({ code: 'TAG_NOT_FOUND', message: 'm' }).details).toEqual({});
  });
});
