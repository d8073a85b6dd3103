import type { TObject } from 'typebox';
import { variableOf } from './environment.ts';
import { choicesOf, describeSchema, isRequired, nodeOf, type SchemaNode } from './schema-node.ts';

/** One program's configuration, for {@link renderConfigReference}. */
export interface ConfigReferenceSection {
  /** The program, such as `agent`. */
  readonly role: string;
  /** One sentence on what the program is. */
  readonly summary: string;
  readonly schema: TObject;
}

/** The reference of all settings of all programs as Markdown: one table a program, one row a setting. */
export function renderConfigReference(sections: readonly ConfigReferenceSection[]): string {
  return sections.map(renderSection).join('\n');
}

function renderSection({ role, summary, schema }: ConfigReferenceSection): string {
  const rows = [...rowsOf(nodeOf(schema), [], true)];
  return [
    `## ${role}`,
    '',
    summary,
    '',
    '| setting | takes | default | meaning | variable |',
    '|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

function* rowsOf(node: SchemaNode, path: readonly string[], required: boolean): Generator<string> {
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    const here = [...path, key];
    const needed = required && isRequired(node, key);
    if (child.type === 'object' && child.properties !== undefined) yield* rowsOf(child, here, needed);
    else if (child.anyOf !== undefined && choicesOf(child) === undefined) yield* unionRows(child, here, needed);
    else yield row(child, here, needed);
  }
}

/** A choice between sections: the rows of each, those with the same name once. */
function* unionRows(node: SchemaNode, path: readonly string[], required: boolean): Generator<string> {
  const sections = (node.anyOf ?? []).filter((branch) => branch.properties !== undefined);
  if (sections.length === 0) {
    yield row(node, path, required);
    return;
  }
  const seen = new Set<string>();
  for (const text of sections.flatMap((section) => [...rowsOf(section, path, false)])) {
    if (!seen.has(text)) yield text;
    seen.add(text);
  }
}

function row(node: SchemaNode, path: readonly string[], required: boolean): string {
  const cells = [
    `\`${path.join('.')}\``,
    describeSchema(node) + (node.unit === undefined ? '' : `, in ${node.unit}`),
    defaultText(node, required),
    node.description ?? '',
    `\`${variableOf(path)}\``,
  ];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
}

function defaultText(node: SchemaNode, required: boolean): string {
  if (node.default !== undefined) return `\`${JSON.stringify(node.default)}\``;
  return required ? '**must be set**' : '–';
}
