/** The pages of docs/ that are made from the code, so that they cannot say anything else. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { pino } from 'pino';
import type { Registry } from 'prom-client';
import { buildProgram } from '../src/cli/main.ts';
import { allRoles, type RoleEntry } from '../src/cli/roles.ts';
import { renderConfigReference } from '../src/config/index.ts';
import { knownDrivers, renderParameterTable } from '../src/driver/index.ts';
import { createMetrics } from '../src/metrics/index.ts';
import { renderErrorTable } from '../src/registry/index.ts';

const MADE = '<!-- Made by "node scripts/generate-docs.ts" from the code; change it there. -->';
const HELP_WIDTH = 110;

/** Every page that is made: its file name in docs/, and its text. */
export async function renderPages(): Promise<ReadonlyMap<string, string>> {
  return new Map([
    ['configuration.md', await renderConfiguration()],
    ['commands.md', renderCommands()],
    ['metrics.md', await renderMetrics()],
    ['errors.md', renderErrors()],
    ['driver-parameters.md', renderDriverParameters()],
  ]);
}

async function renderConfiguration(): Promise<string> {
  const sections = await Promise.all(
    allRoles.map(async (entry) => {
      const { schema } = await entry.open();
      return { role: `shoal ${entry.name}`, summary: sentence(entry.summary), schema };
    }),
  );
  return `# Configuration

${MADE}

Every program reads a YAML file (\`--config FILE\`), then variables of the environment, then its options; later ones win. A
variable is \`SHOAL_\`, then the sections and the key in upper case, with two underscores between them:
\`castore.capacityBytes\` is \`SHOAL_CASTORE__CAPACITY_BYTES\`. Lists and sections in variables are written as YAML:
\`SHOAL_ORIGINS='[http://a:15002, http://b:15002]'\`.

Faults are reported all together, each with its place (\`agent.yaml:3:5\`). \`shoal config print ROLE --config FILE\` shows what
a program would run with. Samples for every program are in \`deploy/config\`.

Secrets are in files, never in a configuration. Programs between each other carry the cluster token; the registry API does
not, so that an agent, proxy or registry on another address than loopback has to have \`listen.tls\`.

${renderConfigReference(sections)}`;
}

function renderErrors(): string {
  return `# Errors of the registry API

${MADE}

Every error of \`/v2/\` has a body in the form of the OCI distribution specification:

\`\`\`json
{ "errors": [{ "code": "BLOB_UNKNOWN", "message": "the blob sha256:… is not in the repository team/app", "detail": {} }] }
\`\`\`

\`code\` and status are stable; \`message\` is for people and may change; \`detail\` is there when there are facts to act on.
There is one entry, but for \`MANIFEST_BLOB_UNKNOWN\`, which has one for each digest that is missing, as \`detail.digest\`.
An answer to \`HEAD\` has the status and no body. \`UNAVAILABLE\` with 503 carries \`Retry-After\`. Every answer carries
\`X-Request-Id\`, which stands in the log beside what went wrong; \`UNKNOWN\` has it in \`detail.requestId\` too.

${renderErrorTable()}
`;
}

function renderDriverParameters(): string {
  const sections = [...knownDrivers].map(
    ([name, { parameters }]) => `## ${name}\n\n${renderParameterTable(parameters)}\n`,
  );
  return `# Parameters of the storage drivers

${MADE}

They stand under \`parameters\` of \`shoal registry\`, under \`backend.parameters\` of origin and build-index, and in \`--params\`. Numbers and
\`true\` or \`false\` may be given as texts. All faults are reported together. What each driver promises: [drivers.md](drivers.md).

${sections.join('\n')}`;
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function renderCommands(): string {
  const program = buildProgram({ status: 0 });
  const parts = [program, ...program.commands.flatMap((command) => [command, ...command.commands])];
  const sections = parts.map((command) => `## ${nameOf(command)}\n\n\`\`\`\n${helpOf(command)}\n\`\`\`\n`);
  return `# Commands

${MADE}

Exit status: 0 done, 1 failed, 2 not understood. Logs are JSON lines on standard error. SIGINT and SIGTERM end a
program cleanly, within ten seconds; a second one ends it at once. SIGHUP has an agent or origin read its configuration
again: the swarm's limits in bytes a second take effect at once, the rest with the next start. (From a terminal that is
closed, SIGHUP ends the program.)

${sections.join('\n')}`;
}

function helpOf(command: Command): string {
  return command.configureHelp({ helpWidth: HELP_WIDTH }).helpInformation().trimEnd();
}

function nameOf(command: Command): string {
  return command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;
}

interface MetricRow {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly labels: readonly string[];
}

/** Starts every program once, on a free port and in a folder of its own, and looks at the metrics that it has. */
async function renderMetrics(): Promise<string> {
  const rows = new Map<string, MetricRow & { readonly roles: string[] }>();
  for (const entry of allRoles) {
    for (const metric of await metricsOf(entry)) {
      const known = rows.get(metric.name) ?? { ...metric, roles: [] };
      known.roles.push(entry.name);
      rows.set(metric.name, known);
    }
  }
  const lines = [...rows.values()]
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, type, labels, roles, help }) => {
      const programs = roles.length === allRoles.length ? 'all' : roles.join(', ');
      return `| \`${name}\` | ${type} | ${labels.join(', ') || '–'} | ${programs} | ${help.replaceAll('|', '\\|')} |`;
    });
  return `# Metrics

${MADE}

Every program answers \`GET /metrics\` in Prometheus' text format, without the cluster token. Each metric has the label \`role\`
too. Beside these there are the usual ones of a Node process (\`process_…\`, \`nodejs_…\`).

| metric | type | labels | programs | meaning |
|---|---|---|---|---|
${lines.join('\n')}
`;
}

async function metricsOf(entry: RoleEntry): Promise<MetricRow[]> {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-docs-'));
  try {
    const role = await entry.open();
    const file = join(folder, 'config.yaml');
    await writeFile(file, JSON.stringify(smallestConfig(entry.name, folder)));
    const loaded = await role.load({ file });
    const metrics = createMetrics({ role: entry.name, version: '0' });
    const logger = pino({ level: 'silent' });
    const running = await loaded.start({ logger, metrics, clusterToken: 'x'.repeat(32) });
    await running.close();
    return ownMetrics(metrics);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function ownMetrics(metrics: Registry): MetricRow[] {
  return metrics
    .getMetricsAsArray()
    .filter(({ name }) => name.startsWith('shoal_'))
    .map((metric) => {
      const { labelNames } = metric as unknown as { labelNames?: readonly string[] };
      return { name: metric.name, type: String(metric.type), help: metric.help, labels: labelNames ?? [] };
    });
}

function smallestConfig(role: string, folder: string): Record<string, unknown> {
  const listen = { host: '127.0.0.1', port: 0 };
  const parameters = { rootdirectory: join(folder, 'backend') };
  const cluster = { tokenFile: join(folder, 'token') };
  const castore = { directory: join(folder, 'store') };
  const backend = { driver: 'filesystem', parameters };
  const notifications = { directory: join(folder, 'notifications') };
  switch (role) {
    case 'registry':
      return { listen, parameters, notifications };
    case 'proxy':
      return { listen, cluster, castore, notifications };
    case 'tracker':
      return { listen, cluster };
    case 'build-index':
      return { listen, cluster, backend };
    case 'origin':
      return { listen, cluster, castore, backend };
    default:
      return { listen, cluster, castore };
  }
}
