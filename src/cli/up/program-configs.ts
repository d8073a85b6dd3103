import { writeFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import type { DataFolder } from './data-folder.ts';
import type { PlannedProgram } from './plan.ts';

/** Local blobs of one program, in bytes: what it may keep before it forgets the oldest. */
const STORE_BYTES = 4 * 1024 ** 3;
/** A store has to hold the image that goes through it, and what is unfinished beside it. */
const STORE_PER_IMAGE = 4;

/** The storage behind origins and build-index. */
export interface BackendChoice {
  readonly driver: string;
  readonly parameters: Readonly<Record<string, unknown>>;
}

/** Writes the configuration of every program into the data folder. @param options.backend default: a folder there */
export async function writeProgramConfigs(
  data: DataFolder,
  programs: readonly PlannedProgram[],
  options: { readonly imageBytes: number; readonly backend: BackendChoice | undefined },
): Promise<void> {
  const capacityBytes = Math.max(STORE_BYTES, options.imageBytes * STORE_PER_IMAGE);
  const backend = options.backend ?? { driver: 'filesystem', parameters: { rootdirectory: data.backend } };
  for (const program of programs) {
    const config = configOf(program, { data, programs, capacityBytes, backend });
    const head = `# Written by "shoal up" at every start; changes are lost.\n`;
    await writeFile(data.configOf(program.name), head + stringify(config), { mode: 0o600 });
  }
}

function configOf(
  program: PlannedProgram,
  cluster: {
    readonly data: DataFolder;
    readonly programs: readonly PlannedProgram[];
    readonly capacityBytes: number;
    readonly backend: BackendChoice;
  },
): Record<string, unknown> {
  const { data, programs, capacityBytes, backend } = cluster;
  const trackers = innerUrls(programs, 'tracker');
  const origins = innerUrls(programs, 'origin');
  const [buildIndex] = innerUrls(programs, 'build-index');
  const castore = { directory: data.storeOf(program.name), capacityBytes };
  const common = { listen: { host: 'localhost', port: program.port }, cluster: { tokenFile: data.tokenFile } };
  switch (program.role) {
    case 'tracker':
      return { ...common, origins };
    case 'origin':
      return { ...common, castore, backend, trackers, members: origins, selfUrl: innerUrl(program) };
    case 'build-index':
      return { ...common, backend, origins };
    case 'proxy':
      return { ...common, castore, origins, buildIndex };
    case 'agent':
      return { ...common, castore, trackers, origins, buildIndex, proxyUrl: urlOf(programs, 'proxy') };
  }
}

/** Between programs: one address family, so that a peer is seen under the address on which it listens. */
function innerUrl({ port }: PlannedProgram): string {
  return `http://127.0.0.1:${port}`;
}

function innerUrls(programs: readonly PlannedProgram[], role: PlannedProgram['role']): string[] {
  return programs.filter((program) => program.role === role).map(innerUrl);
}

function urlOf(programs: readonly PlannedProgram[], role: PlannedProgram['role']): string | undefined {
  return programs.find((program) => program.role === role)?.url;
}
