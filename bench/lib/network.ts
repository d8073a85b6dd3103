import { execFile } from 'node:child_process';
import { BenchNeedsError, BenchRunError, BenchUsageError } from './errors.ts';

/** All namespaces of all benches begin so; then comes the id of the process that made them. */
export const NAMESPACE_PREFIX = 'shoal-bench-';

/** One host to be made. */
export interface NetworkHost {
  /** Short: it is part of the namespace's and the link's name. */
  readonly name: string;
  /** IPv4 inside 10.77.0.0/16; no other machine ever sees it. */
  readonly address: string;
}

/** Bytes on a host's link, headers included, from the host's point of view. */
export interface LinkCounters {
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

const SWITCH = 'switch';
const PREFIX_LENGTH = 16;
/** 64 kB: one full segmentation-offload packet. 256 kB would be 42 ms of queue at 50 Mbit/s, and 0.4 % free per hop. */
const BURST_BYTES = 65_536;
/** How long a packet waits at most before it is dropped. */
const QUEUE_MS = 50;

/**
 * Hosts as network namespaces, each on a veth pair to a bridge. The bridge has a namespace of its own, so that nothing of
 * the machine's own network is touched. MTU 1500. Whoever opens it closes it.
 */
export class Network {
  readonly #hosts: readonly NetworkHost[];

  private constructor(hosts: readonly NetworkHost[]) {
    this.#hosts = hosts;
  }

  /** @throws BenchNeedsError without root, or without `ip` and `tc` */
  static async open(hosts: readonly NetworkHost[]): Promise<Network> {
    await requireNetworkTools();
    for (const { name } of hosts) {
      if (!/^[a-z0-9]{1,12}$/.test(name)) throw new BenchUsageError(`"${name}" is no name of a host`);
    }
    const network = new Network(hosts);
    try {
      await network.#build();
    } catch (error) {
      await network.close();
      throw error;
    }
    return network;
  }

  addressOf(name: string): string {
    const host = this.#hosts.find((candidate) => candidate.name === name);
    if (host === undefined) throw new BenchUsageError(`there is no host ${name}`);
    return host.address;
  }

  /** The command that runs `command` on a host. Its process is `command` itself: `ip netns exec` does not stay. */
  commandOn(name: string, command: readonly [string, ...string[]]): [string, ...string[]] {
    return ['ip', 'netns', 'exec', namespaceOf(name), ...command];
  }

  /**
   * Limits a host's link to this rate in each direction (tc-tbf(8)); bits a second. Called once a host.
   *
   * TCP hands large packets to the link, which a network card cuts into frames. A token bucket lets one pass whole, its
   * frames' headers counted, when it is shorter than the burst; a longer one it cuts itself, and from there on each frame costs
   * as much CPU as a large packet: a third of this machine at 200 Mbit/s. So they are kept to half of the burst.
   */
  async shape(name: string, bitsPerSecond: number): Promise<void> {
    const packet = String(BURST_BYTES >> 1);
    await run('ip', ['-n', namespaceOf(name), 'link', 'set', 'dev', 'eth0', 'gso_max_size', packet]);
    const tbf = `root tbf rate ${Math.round(bitsPerSecond)}bit burst ${BURST_BYTES} latency ${QUEUE_MS}ms`;
    await run('tc', ['-n', namespaceOf(name), 'qdisc', 'add', 'dev', 'eth0', ...tbf.split(' ')]);
    await run('tc', ['-n', namespaceOf(SWITCH), 'qdisc', 'add', 'dev', name, ...tbf.split(' ')]);
  }

  /** What has passed each host's link since the start. */
  async counters(): Promise<Map<string, LinkCounters>> {
    const text = await run('ip', ['-n', namespaceOf(SWITCH), '-s', '-j', 'link', 'show']);
    const links = JSON.parse(text) as {
      ifname: string;
      stats64?: { rx: { bytes: number }; tx: { bytes: number } };
    }[];
    const counters = new Map<string, LinkCounters>();
    for (const { ifname, stats64 } of links) {
      // The end at the switch: what it receives is what the host has sent.
      if (stats64 !== undefined) counters.set(ifname, { sentBytes: stats64.rx.bytes, receivedBytes: stats64.tx.bytes });
    }
    return counters;
  }

  /** Removes everything, and ends whatever still runs in it. A second call does nothing. */
  async close(): Promise<void> {
    await removeNamespaces(`${NAMESPACE_PREFIX}${process.pid}-`);
  }

  async #build(): Promise<void> {
    const names = [SWITCH, ...this.#hosts.map(({ name }) => name)];
    await batch([], [...names.map((name) => `netns add ${namespaceOf(name)}`)]);
    await batch(
      ['-n', namespaceOf(SWITCH)],
      [
        'link add br0 type bridge stp_state 0 forward_delay 0',
        'link set br0 addrgenmode none',
        'link set br0 up',
        ...this.#hosts.flatMap(({ name }) => [
          `link add ${name} mtu 1500 type veth peer name eth0 mtu 1500 netns ${namespaceOf(name)}`,
          `link set ${name} addrgenmode none`,
          `link set ${name} master br0 up`,
        ]),
      ],
    );
    await this.#bypassFirewall();
    await Promise.all(
      this.#hosts.map(({ name, address }) =>
        batch(
          ['-n', namespaceOf(name)],
          [
            'link set lo up',
            'link set eth0 addrgenmode none',
            `addr add ${address}/${PREFIX_LENGTH} dev eth0`,
            'link set eth0 up',
          ],
        ),
      ),
    );
  }

  /** Where the machine's bridges go through netfilter (Docker turns that on), ours does not: it costs a fifth of the CPU. */
  async #bypassFirewall(): Promise<void> {
    for (const table of ['iptables', 'ip6tables', 'arptables']) {
      const setting = `/proc/sys/net/bridge/bridge-nf-call-${table}`;
      const [program, ...args] = this.commandOn(SWITCH, ['sh', '-c', `[ ! -e ${setting} ] || echo 0 > ${setting}`]);
      await run(program, args);
    }
  }
}

/** @throws BenchNeedsError */
export async function requireNetworkTools(): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new BenchNeedsError('hosts are network namespaces here, which only root can make: run this as root (sudo)');
  }
  for (const [program, flag] of [
    ['ip', '-V'],
    ['tc', '-V'],
  ] as const) {
    try {
      await run(program, [flag]);
    } catch (cause) {
      throw new BenchNeedsError(`"${program}" is missing: apt-get install iproute2`, { program }, { cause });
    }
  }
}

/** The namespaces whose names begin so. */
export async function listNamespaces(prefix: string): Promise<string[]> {
  const text = await run('ip', ['netns', 'list']);
  return text
    .split('\n')
    .map((line) => line.split(' ')[0]!)
    .filter((name) => name.startsWith(prefix));
}

/** Ends what runs in these namespaces, and removes them. */
export async function removeNamespaces(prefix: string): Promise<void> {
  for (const name of await listNamespaces(prefix)) {
    const pids = (await run('ip', ['netns', 'pids', name])).split('\n').filter((line) => line !== '');
    for (const pid of pids) endProcess(Number(pid));
    await run('ip', ['netns', 'delete', name]);
  }
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // It may have ended by itself meanwhile.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function namespaceOf(name: string): string {
  return `${NAMESPACE_PREFIX}${process.pid}-${name}`;
}

function batch(options: readonly string[], lines: readonly string[]): Promise<string> {
  return run('ip', [...options, '-batch', '-'], `${lines.join('\n')}\n`);
}

function run(program: string, args: readonly string[], input?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, { maxBuffer: 2 ** 24 }, (cause, stdout, stderr) => {
      if (cause === null) resolve(stdout);
      else reject(new BenchRunError(`${program} ${args.join(' ')} failed: ${stderr.trim()}`, {}, { cause }));
    });
    // When the program cannot be started the callback tells; its input then goes nowhere.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input ?? '');
  });
}
