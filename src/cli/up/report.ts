import type { Digest } from '../../core/index.ts';

/** How the pull of one agent went. */
export interface AgentResult {
  readonly name: string;
  readonly url: string;
  readonly seconds: number;
  /** Bytes of the image by the time that it took. */
  readonly bytesPerSecond: number;
  readonly fromPeersBytes: number;
  readonly fromOriginsBytes: number;
  /** 0 to 1; 0 when nothing had to be fetched. */
  readonly sharePeers: number;
  /** Whether every digest matched. */
  readonly digestOk: boolean;
  /** Why it failed, if it did. */
  readonly error?: string;
}

/** What `--json` writes. */
export interface UpSummary {
  /** As a client names it at the proxy. */
  readonly image: string;
  /** Of the manifest. */
  readonly digest: Digest;
  readonly bytes: number;
  readonly agents: readonly AgentResult[];
}

/** Whether every agent has the whole image with the right digests. */
export function isComplete(summary: UpSummary): boolean {
  return summary.agents.length > 0 && summary.agents.every((agent) => agent.digestOk);
}

/** The part of what was fetched that came from peers; 0 when nothing was. */
export function shareOfPeers(fromPeersBytes: number, fromOriginsBytes: number): number {
  const fetched = fromPeersBytes + fromOriginsBytes;
  return fetched === 0 ? 0 : fromPeersBytes / fetched;
}

/** The summary as a table for people. */
export function renderTable(summary: UpSummary): string {
  const head = ['agent', 'address', 'seconds', 'MB/s', 'from peers', 'from origins', 'digests'];
  const rows = summary.agents.map((agent) => {
    const fetched = agent.fromPeersBytes + agent.fromOriginsBytes > 0;
    return [
      agent.name,
      agent.url,
      agent.seconds.toFixed(2),
      (agent.bytesPerSecond / 1e6).toFixed(1),
      fetched ? percent(agent.sharePeers) : 'cached',
      fetched ? percent(1 - agent.sharePeers) : 'cached',
      agent.digestOk ? 'match' : `FAILED: ${agent.error ?? 'unknown reason'}`,
    ];
  });
  const widths = head.map((title, column) =>
    Math.max(...[head, ...rows.slice()].map((row) => row[column]?.length ?? title.length)),
  );
  const numeric = new Set([2, 3, 4, 5]);
  const line = (cells: readonly string[]) => {
    return cells
      .map((cell, column) =>
        numeric.has(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd();
  };
  return [line(head), ...rows.map(line)].join('\n');
}

/** `63 %`. */
export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
