import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { type ConfigFault, closestName } from './fault.ts';
import { choicesOf, describeSchema, isRequired, type SchemaNode } from './schema-node.ts';
import { maskSecret } from './secrets.ts';

/** Keys from the root of a configuration; a position in a list is a number. */
export type ConfigPath = readonly (string | number)[];

/** Finds where a setting was written, or where it would have to be. */
export type PlaceOf = (path: ConfigPath, kind: 'key' | 'value') => string;

/** What came out of a check: the value with defaults filled in, and everything that is wrong with it. */
export interface CheckedConfig {
  readonly value: unknown;
  readonly faults: readonly ConfigFault[];
}

/**
 * Checks a value against a schema and fills in defaults. Reports every fault, where TypeBox's own errors stop after a few;
 * whether one value fits one schema is TypeBox's decision.
 */
export function checkConfig(schema: SchemaNode, value: unknown, placeOf: PlaceOf): CheckedConfig {
  const faults: ConfigFault[] = [];
  const add = (path: ConfigPath, kind: 'key' | 'value', problem: string) => {
    faults.push({ place: placeOf(path, kind), path: formatPath(path), problem });
  };
  return { value: check(schema, value, [], add), faults };
}

type Report = (path: ConfigPath, kind: 'key' | 'value', problem: string) => void;

/** `castore.capacityBytes`, `members[1]`. */
export function formatPath(path: ConfigPath): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    return text === '' ? key : `${text}.${key}`;
  }, '');
}

function check(schema: SchemaNode, value: unknown, path: ConfigPath, report: Report): unknown {
  if (schema.anyOf !== undefined && choicesOf(schema) === undefined) return checkUnion(schema, value, path, report);
  if (schema.type === 'object' && schema.properties !== undefined) return checkObject(schema, value, path, report);
  if (schema.type === 'array' && schema.items !== undefined && Array.isArray(value)) {
    const { items } = schema;
    const entries = value.map((entry, index) => check(items, entry, [...path, index], report));
    // Faults of entries are told already; what is left to judge is how many there are.
    if (!fits({ ...schema, items: {} }, entries)) mismatch(schema, value, path, report);
    return entries;
  }
  if (!fits(schema, value)) mismatch(schema, value, path, report);
  return value;
}

function checkObject(schema: SchemaNode, value: unknown, path: ConfigPath, report: Report): unknown {
  if (!isSection(value)) {
    mismatch(schema, value, path, report);
    return value;
  }
  const properties = schema.properties ?? {};
  const result: Record<string, unknown> = {};
  for (const [key, entry] of Object.entries(value)) {
    if (Object.hasOwn(properties, key)) continue;
    if (schema.additionalProperties === false) report([...path, key], 'key', unknownKey(key, Object.keys(properties)));
    else result[key] = entry;
  }
  for (const [key, child] of Object.entries(properties)) {
    const given = Object.hasOwn(value, key) ? value[key] : undefined;
    const filled = given === undefined ? missing(schema, key, child, [...path, key], report) : given;
    if (filled !== undefined) result[key] = check(child, filled, [...path, key], report);
  }
  return result;
}

/** The value of a key that nobody set: its default, an empty section to be filled from its own defaults, or a fault. */
function missing(parent: SchemaNode, key: string, child: SchemaNode, path: ConfigPath, report: Report): unknown {
  if (child.default !== undefined) return structuredClone(child.default);
  if (!isRequired(parent, key)) return undefined;
  if (child.type === 'object' && child.properties !== undefined) return {};
  report(path, 'value', `expected ${describeSchema(child)}, got nothing: it has no default and has to be set`);
  return undefined;
}

/** The first branch that takes the value; else the faults of the branch that a fixed field of the value points at. */
function checkUnion(schema: SchemaNode, value: unknown, path: ConfigPath, report: Report): unknown {
  const branches = schema.anyOf ?? [];
  for (const branch of branches) {
    const faults: string[] = [];
    const result = check(branch, value, path, (_path, _kind, problem) => faults.push(problem));
    if (faults.length === 0) return result;
  }
  const meant = branches.find((branch) => hasSameConstants(branch, value));
  if (meant !== undefined) return check(meant, value, path, report);
  mismatch(schema, value, path, report);
  return value;
}

function hasSameConstants(branch: SchemaNode, value: unknown): boolean {
  if (!isSection(value)) return false;
  const fixed = Object.entries(branch.properties ?? {}).filter(([, child]) => child.const !== undefined);
  return fixed.length > 0 && fixed.every(([key, child]) => value[key] === child.const);
}

function fits(schema: SchemaNode, value: unknown): boolean {
  return Value.Check(schema as TSchema, value);
}

function mismatch(schema: SchemaNode, value: unknown, path: ConfigPath, report: Report): void {
  const name = path.findLast((key) => typeof key === 'string') ?? '';
  report(path, 'value', `expected ${describeSchema(schema)}, got ${describeValue(maskSecret(String(name), value))}`);
}

function unknownKey(key: string, known: readonly string[]): string {
  const meant = closestName(key, known);
  if (meant !== undefined) return `unknown key; did you mean "${meant}"?`;
  return `unknown key; expected one of ${known.toSorted().join(', ')}`;
}

/** A value in few words. */
function describeValue(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object') return 'a section';
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
