import type { TSchema } from 'typebox';

/**
 * The part of JSON Schema that configurations use, as plain data. TypeBox schemas are such data already; this type only
 * names the fields that are read here.
 */
export interface SchemaNode {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly unit?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | SchemaNode;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly pattern?: string;
}

/** A TypeBox schema as the data that it is. */
export function nodeOf(schema: TSchema): SchemaNode {
  return schema as SchemaNode;
}

/** Whether a key of an object schema has to be there, or be filled from a default. */
export function isRequired(parent: SchemaNode, key: string): boolean {
  return parent.required?.includes(key) ?? false;
}

/** The values of a closed choice such as `memory | redis`; `undefined` when the schema is none. */
export function choicesOf(node: SchemaNode): readonly unknown[] | undefined {
  if (node.enum !== undefined) return node.enum;
  if (node.const !== undefined) return [node.const];
  const branches = node.anyOf;
  if (branches === undefined || branches.some((branch) => branch.const === undefined)) return undefined;
  return branches.map((branch) => branch.const);
}

/** What a schema takes, in words that fit behind "expected". */
export function describeSchema(node: SchemaNode): string {
  const choices = choicesOf(node);
  if (choices !== undefined) return orList(choices.map((choice) => JSON.stringify(choice)));
  if (node.anyOf !== undefined) return orList(node.anyOf.map(describeSchema));
  switch (node.type) {
    case 'integer':
      return `an integer${boundsOf(node)}`;
    case 'number':
      return `a number${boundsOf(node)}`;
    case 'boolean':
      return 'true or false';
    case 'array':
      return `a list${node.items?.type === undefined ? '' : ` of ${node.items.type}s`}${countOf(node)}`;
    case 'object':
      return 'a section with keys';
    case 'string':
      return describeString(node);
    case undefined:
      return 'any value';
    default:
      return `a value of type ${node.type}`;
  }
}

function describeString(node: SchemaNode): string {
  if (node.pattern !== undefined) return `a text that matches ${node.pattern}`;
  if (node.minLength === 1 && node.maxLength === undefined) return 'a text that is not empty';
  if (node.minLength !== undefined) return `a text of at least ${node.minLength} characters`;
  if (node.maxLength !== undefined) return `a text of at most ${node.maxLength} characters`;
  return 'a text';
}

function boundsOf({ minimum, maximum, exclusiveMinimum }: SchemaNode): string {
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`;
  if (minimum !== undefined) return ` of at least ${minimum}`;
  const above = exclusiveMinimum === undefined ? '' : ` above ${exclusiveMinimum}`;
  return maximum === undefined ? above : `${above} of at most ${maximum}`;
}

function countOf(node: SchemaNode): string {
  if (node.minItems !== undefined && node.maxItems !== undefined)
    return `, ${node.minItems} to ${node.maxItems} of them`;
  if (node.minItems !== undefined) return `, at least ${node.minItems} of them`;
  return node.maxItems === undefined ? '' : `, at most ${node.maxItems} of them`;
}

function orList(items: readonly string[]): string {
  if (items.length < 2) return items.join('');
  return `${items.slice(0, -1).join(', ')} or ${items.at(-1)}`;
}
