import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { IsolatedHost } from './isolated-host.ts';

const page = fileURLToPath(new URL('../../docs/clients.md', import.meta.url));

/** What a section of the page has a reader do: write a file, or type commands. */
export type DocumentedStep =
  | { readonly file: string; readonly content: string }
  | { readonly commands: readonly string[] };

/** The headings of all sections that have something to do, in order. */
export async function documentedSections(): Promise<string[]> {
  const sections = (await readFile(page, 'utf8')).split(/^## /m).slice(1);
  return sections
    .filter((section) => section.includes('```'))
    .map((section) => section.slice(0, section.indexOf('\n')));
}

/**
 * The code blocks of a section of `docs/clients.md`, in order. A block of TOML is the file that is named last before it; one of
 * `sh` has a command on each line. @throws Error when there is no such section, or a block of which nobody knows what it is
 */
export async function documentedSteps(heading: string): Promise<DocumentedStep[]> {
  const text = await readFile(page, 'utf8');
  const section = text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`docs/clients.md has no section ${heading}`);
  const steps: DocumentedStep[] = [];
  let before = 0;
  for (const block of section.matchAll(/^```(\w*)\n(.*?)^```$/gms)) {
    const [, language, content = ''] = block;
    const file = [...section.slice(before, block.index).matchAll(/`(\/etc\/[^`]+)`/g)].at(-1)?.[1];
    before = block.index + block[0].length;
    if (language === 'sh') steps.push({ commands: content.trim().split('\n') });
    else if (language === 'toml' && file !== undefined) steps.push({ file, content });
    else throw new Error(`docs/clients.md, section ${heading}: neither a file nor commands:\n${block[0]}`);
  }
  return steps;
}

/**
 * Does what a section says, on a host. @param names what to put in the place of names on the page; by default nothing
 * @throws Error with what was said, when a command fails
 */
export async function followSection(
  host: IsolatedHost,
  heading: string,
  names: Readonly<Record<string, string>> = {},
): Promise<void> {
  for (const step of await documentedSteps(heading)) {
    if ('file' in step) await host.write(rename(step.file, names), rename(step.content, names));
    else for (const command of step.commands) await host.run('sh', ['-c', rename(command, names)]);
  }
}

function rename(text: string, names: Readonly<Record<string, string>>): string {
  return Object.entries(names).reduce((named, [from, to]) => named.replaceAll(from, to), text);
}
