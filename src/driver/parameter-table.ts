import type { TObject } from 'typebox';

/** What a schema of JSON Schema says about a parameter, as far as a table shows it. */
interface ParameterSchema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly anyOf?: readonly ParameterSchema[];
  readonly properties?: Readonly<Record<string, ParameterSchema>>;
  readonly required?: readonly string[];
}

/** The parameters of a driver as a table in Markdown, in the order of the schema; sections have a dot in their names. */
export function renderParameterTable(schema: TObject): string {
  const rows = rowsOf(schema as unknown as ParameterSchema, '');
  return ['| parameter | value | default | |', '|---|---|---|---|', ...rows].join('\n');
}

function rowsOf({ properties = {}, required = [] }: ParameterSchema, prefix: string): string[] {
  return Object.entries(properties).flatMap(([name, property]) => {
    if (property.properties !== undefined) return rowsOf(property, `${prefix}${name}.`);
    const cells = [`\`${prefix}${name}\``, kindOf(property), defaultOf(property, required.includes(name))];
    return [`| ${[...cells, property.description ?? ''].map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`];
  });
}

function kindOf({ type, anyOf, const: only, minimum, maximum }: ParameterSchema): string {
  if (anyOf !== undefined) return anyOf.map(kindOf).join(', ');
  if (only !== undefined) return `\`${only}\``;
  const kind = type === 'integer' ? 'a whole number' : type === 'boolean' ? '`true`, `false`' : (type ?? 'anything');
  if (minimum === undefined && maximum === undefined) return kind === 'string' ? 'text' : kind;
  return [kind, minimum === undefined ? '' : `from ${minimum}`, maximum === undefined ? '' : `to ${maximum}`]
    .filter((part) => part !== '')
    .join(' ');
}

function defaultOf(property: ParameterSchema, isRequired: boolean): string {
  if (property.default !== undefined) return property.default === '' ? 'empty' : `\`${property.default}\``;
  return isRequired ? 'required' : '–';
}
