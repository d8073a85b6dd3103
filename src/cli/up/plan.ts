/** What `shoal up` was asked for. */
export interface UpOptions {
  readonly dataFolder: string;
  readonly agents: number;
  readonly proxyPort: number;
  /** Of the first agent; the others follow. */
  readonly agentPort: number;
  /** Of the first origin; the second is ten above it. */
  readonly originPort: number;
  readonly trackerPort: number;
  readonly buildIndexPort: number;
}

/** A program of `shoal up`: its role, its own name, and where it answers. */
export interface PlannedProgram {
  readonly role: 'tracker' | 'origin' | 'build-index' | 'proxy' | 'agent';
  /** Unique, such as `agent-2`; names its folder, its configuration and its log. */
  readonly name: string;
  readonly port: number;
  /** For people and clients. */
  readonly url: string;
  /** The option that moves its port. */
  readonly portOption: string;
}

/** How many origins there are: two, so that an acknowledged blob is on two of them. */
export const ORIGINS = 2;
const ORIGIN_PORT_STEP = 10;

/** All programs, in the order in which they are shown. */
export function planPrograms(options: UpOptions): PlannedProgram[] {
  const program = (role: PlannedProgram['role'], name: string, port: number, portOption: string): PlannedProgram => {
    return { role, name, port, url: `http://localhost:${port}`, portOption };
  };
  const origins = Array.from({ length: ORIGINS }, (_, index) => {
    return program('origin', `origin-${index + 1}`, options.originPort + ORIGIN_PORT_STEP * index, '--origin-port');
  });
  const agents = Array.from({ length: options.agents }, (_, index) => {
    return program('agent', `agent-${index + 1}`, options.agentPort + index, '--agent-port');
  });
  return [
    program('tracker', 'tracker', options.trackerPort, '--tracker-port'),
    ...origins,
    program('build-index', 'build-index', options.buildIndexPort, '--build-index-port'),
    program('proxy', 'proxy', options.proxyPort, '--proxy-port'),
    ...agents,
  ];
}

/** How many copies of an image end up on disk: backend, both origins, the proxy, and one on each agent. */
export function copiesOf(options: UpOptions): number {
  return 1 + ORIGINS + 1 + options.agents;
}
