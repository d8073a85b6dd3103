import { isAbsolute } from 'node:path';
import Type, { type Static } from 'typebox';
import { ConfigError } from '../../core/index.ts';
import { type DriverParameters, readParameters } from '../parameters.ts';
import { driverNamePattern } from './protocol.ts';

const VariableName = Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' });

/** What the ipc driver itself is configured by; all other parameters are for the program behind it. */
export const IpcParametersSchema = Type.Object(
  {
    name: Type.Optional(
      Type.String({
        description: 'name of the storage, whose program is registry-storage-<name> on the PATH',
        pattern: driverNamePattern.source,
        maxLength: 64,
      }),
    ),
    exec: Type.Optional(
      Type.Union([Type.String({ minLength: 1 }), Type.Array(Type.String({ minLength: 1 }), { minItems: 1 })], {
        description: 'the program: an absolute path, or a name on the PATH; a list has its arguments behind it',
      }),
    ),
    environment: Type.Optional(
      Type.Union([VariableName, Type.Array(VariableName)], {
        description:
          'name, or list of names, of variables of the environment that the program gets beside PATH, HOME, TZ and the like',
      }),
    ),
    socket: Type.Optional(
      Type.String({
        description: 'absolute path of the socket of a driver that somebody else has started',
        minLength: 1,
      }),
    ),
    tokenfile: Type.Optional(
      Type.String({ description: 'file with the token of the driver at the socket', minLength: 1 }),
    ),
  },
  { additionalProperties: false },
);

/** Where the driver program is; for one that is started, which variables it gets that not every program does. */
export type IpcTarget =
  | { readonly kind: 'name'; readonly name: string; readonly environment: readonly string[] }
  | {
      readonly kind: 'exec';
      readonly command: readonly [string, ...string[]];
      readonly environment: readonly string[];
    }
  | { readonly kind: 'socket'; readonly socket: string; readonly tokenFile: string };

/** Parts what says which program it is from what that program is to be told. @throws ConfigError with all faults */
export function readIpcParameters(parameters: DriverParameters): {
  readonly target: IpcTarget;
  readonly forProgram: DriverParameters;
} {
  const own = new Set(Object.keys(IpcParametersSchema.properties));
  const entries = Object.entries(parameters);
  const settings = readParameters(
    'ipc',
    IpcParametersSchema,
    Object.fromEntries(entries.filter(([key]) => own.has(key))),
  );
  const forProgram = Object.fromEntries(entries.filter(([key]) => !own.has(key)));
  const target = targetOf(settings);
  if (target.kind === 'socket' && Object.keys(forProgram).length > 0) {
    const given = Object.keys(forProgram).join(', ');
    throw fault(`parameters for a driver at a socket are given where that one is started, got ${given} here`);
  }
  return { target, forProgram };
}

function targetOf(settings: Static<typeof IpcParametersSchema>): IpcTarget {
  const { name, exec, socket, tokenfile } = settings;
  const given = Object.entries({ name, exec, socket }).filter(([, value]) => value !== undefined);
  if (given.length !== 1) {
    const got = given.map(([key]) => key).join(', ') || 'none';
    throw fault(`expected one of the parameters name, exec and socket, got ${got}`);
  }
  if (tokenfile !== undefined && socket === undefined) throw fault('the parameter tokenfile goes with socket only');
  const environment = typeof settings.environment === 'string' ? [settings.environment] : settings.environment;
  if (name !== undefined) return { kind: 'name', name, environment: environment ?? [] };
  if (exec !== undefined) return { kind: 'exec', command: commandOf(exec), environment: environment ?? [] };
  if (environment !== undefined)
    throw fault('the environment of a driver at a socket is given where that one is started');
  if (tokenfile === undefined) throw fault('the parameter socket needs tokenfile beside it');
  if (!isAbsolute(socket ?? '')) throw fault(`parameter "socket": expected an absolute path, got "${socket}"`);
  return { kind: 'socket', socket: socket ?? '', tokenFile: tokenfile };
}

function commandOf(exec: string | readonly string[]): readonly [string, ...string[]] {
  const [program = '', ...words] = typeof exec === 'string' ? [exec] : exec;
  return [program, ...words];
}

function fault(message: string): ConfigError {
  return new ConfigError(`storage driver ipc: ${message}`, { driver: 'ipc' });
}
