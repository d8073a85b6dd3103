import type { Static, TObject, TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { ConfigError } from '../core/index.ts';

/** What a configuration file or command line says to a driver; each driver checks it against its own schema. */
export type DriverParameters = Readonly<Record<string, unknown>>;

/**
 * Reads the parameters of a driver by its schema: defaults are filled in, and numbers and booleans may come as texts,
 * because a command line has nothing else. A text never becomes out of something else: a path given as a number is a fault.
 * @throws ConfigError with all faults, each with its parameter, what was expected and what was given
 */
export function readParameters<Schema extends TObject>(
  driverName: string,
  schema: Schema,
  parameters: DriverParameters,
): Static<Schema> {
  const values: DriverParameters = Object.fromEntries(
    Object.entries(parameters).map(([key, value]) => [
      key,
      Object.hasOwn(schema.properties, key) ? readText(schema.properties[key], value) : value,
    ]),
  );
  const filled: unknown = Value.Default(schema, values);
  const faults = [...findUnknown(driverName, schema, values), ...findMismatches(driverName, schema, filled)];
  if (faults.length > 0) throw new ConfigError(faults.join('; '), { driver: driverName, faults });
  return filled as Static<Schema>;
}

/** What a text says, when the schema asks for a number or a boolean and the text is one; else the value as it is. */
function readText(property: TSchema | undefined, value: unknown): unknown {
  if (property === undefined || typeof value !== 'string') return value;
  const { type } = property as { readonly type?: string };
  if ((type === 'integer' || type === 'number') && /^-?\d+(\.\d+)?$/.test(value)) return Number(value);
  if (type === 'boolean' && /^(true|false)$/.test(value)) return value === 'true';
  return value;
}

function findUnknown(driverName: string, schema: TObject, values: DriverParameters): string[] {
  const known = Object.keys(schema.properties);
  return Object.keys(values)
    .filter((key) => !known.includes(key))
    .map((key) => `storage driver ${driverName}: unknown parameter "${key}", expected ${known.join(', ') || 'none'}`);
}

function findMismatches(driverName: string, schema: TObject, filled: unknown): string[] {
  const values = filled as DriverParameters;
  const faults: string[] = [];
  for (const [key, property] of Object.entries(schema.properties)) {
    const value = values[key];
    const place = `storage driver ${driverName}: parameter "${key}"`;
    if (value === undefined) {
      if (schema.required?.includes(key)) faults.push(`${place} is missing, expected ${describe(property)}`);
      continue;
    }
    for (const { message } of Value.Errors(property, value)) {
      faults.push(`${place} ${message}, expected ${describe(property)}, got ${shown(key, value)}`);
    }
  }
  return faults;
}

function describe(property: TSchema): string {
  const { type, description } = property as { readonly type?: string; readonly description?: string };
  return [type, description && `(${description})`].filter(Boolean).join(' ');
}

/** Parameters whose values are secrets, or hold some, by their names; errors end up in logs. */
const secretName = /(key|secret|token|password|string|credentials)$/;

function shown(key: string, value: unknown): string {
  if (!secretName.test(key)) return JSON.stringify(value);
  return `a secret that is ${Array.isArray(value) ? 'a list' : `of type ${typeof value}`}`;
}
