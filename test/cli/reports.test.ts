import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { renderHints } from '../../src/cli/up/hints.ts';
import { describeRates, watchRates } from '../../src/cli/up/live-rates.ts';
import { planPrograms } from '../../src/cli/up/plan.ts';
import { openProgress } from '../../src/cli/up/progress.ts';
import { type AgentResult, isComplete, renderTable, shareOfPeers } from '../../src/cli/up/report.ts';
import { hashBytes } from '../../src/core/index.ts';

const options = {
  dataFolder: '.shoal',
  agents: 3,
  proxyPort: 15000,
  agentPort: 16000,
  originPort: 15002,
  trackerPort: 15003,
  buildIndexPort: 15004,
};

const good: AgentResult = {
  name: 'agent-1',
  url: 'http://localhost:16000',
  seconds: 2,
  bytesPerSecond: 1e8,
  fromPeersBytes: 75,
  fromOriginsBytes: 25,
  sharePeers: 0.75,
  digestOk: true,
};

function summaryOf(agents: readonly AgentResult[]) {
  return { image: 'localhost:15000/shoal/demo:1', digest: hashBytes(Buffer.from('x')), bytes: 2e8, agents };
}

describe('planPrograms', () => {
  it('has the addresses that the documentation tells', () => {
    expect(planPrograms(options).map(({ name, port }) => `${name} ${port}`)).toEqual([
      'tracker 15003',
      'origin-1 15002',
      'origin-2 15012',
      'build-index 15004',
      'proxy 15000',
      'agent-1 16000',
      'agent-2 16001',
      'agent-3 16002',
    ]);
  });
});

describe('renderTable', () => {
  it('shows time, rate and shares of each agent', () => {
    const cached = { ...good, name: 'agent-2', fromPeersBytes: 0, fromOriginsBytes: 0, sharePeers: 0 };
    const failed = { ...good, name: 'agent-10', digestOk: false, error: 'no answer' };
    expect(renderTable(summaryOf([good, cached, failed])).split('\n')).toEqual([
      'agent     address                 seconds   MB/s  from peers  from origins  digests',
      'agent-1   http://localhost:16000     2.00  100.0        75 %          25 %  match',
      'agent-2   http://localhost:16000     2.00  100.0      cached        cached  match',
      'agent-10  http://localhost:16000     2.00  100.0        75 %          25 %  FAILED: no answer',
    ]);
  });
});

describe('isComplete', () => {
  it.each([
    { agents: [good], complete: true },
    { agents: [good, { ...good, digestOk: false }], complete: false },
    { agents: [], complete: false },
  ])('is $complete for $agents.length agents', ({ agents, complete }) => {
    expect(isComplete(summaryOf(agents))).toBe(complete);
  });
});

describe('shareOfPeers', () => {
  it('is 0 when nothing was fetched', () => expect(shareOfPeers(0, 0)).toBe(0));
  it('is the part of peers', () => expect(shareOfPeers(3, 1)).toBe(0.75));
});

describe('renderHints', () => {
  it('has commands for every client, with real names', () => {
    const text = renderHints(planPrograms(options), 'shoal/demo:abc');
    for (const command of [
      'docker pull localhost:16000/shoal/demo:abc',
      'podman pull --tls-verify=false localhost:16000/shoal/demo:abc',
      'skopeo copy --src-tls-verify=false docker://localhost:16002/shoal/demo:abc oci:pulled:latest',
      'ctr images pull --plain-http localhost:16002/shoal/demo:abc',
      'docker push localhost:15000/team/my-image:v1',
    ]) {
      expect(text).toContain(command);
    }
  });
});

describe('describeRates', () => {
  const at = (fromPeersBytes: number, fromOriginsBytes: number) => ({ fromPeersBytes, fromOriginsBytes, sentBytes: 0 });

  it('tells the rate and share of agents that moved, and of no others', () => {
    const before = new Map([
      ['agent-1', at(0, 0)],
      ['agent-2', at(5, 5)],
    ]);
    const after = new Map([
      ['agent-1', at(3 * 1024 ** 2, 1024 ** 2)],
      ['agent-2', at(5, 5)],
      ['agent-3', at(9, 9)],
    ]);
    expect(describeRates(before, after, 2)).toBe('agent-1 2.0 MiB/s (75 % from peers)');
  });

  it('is empty when nothing moves', () => {
    expect(describeRates(new Map([['a', at(1, 1)]]), new Map([['a', at(1, 1)]]), 1)).toBe('');
  });
});

describe('watchRates', () => {
  it('writes while agents move, keeps quiet about one that is gone, and ends with the signal', async () => {
    const controller = new AbortController();
    let moved = 0;
    const lines: string[] = [];
    await watchRates({
      agents: [
        { name: 'agent-1', read: async () => ({ fromPeersBytes: moved++ * 1000, fromOriginsBytes: 0, sentBytes: 0 }) },
        { name: 'agent-2', read: () => Promise.reject(new Error('gone')) },
      ],
      write: (line) => {
        lines.push(line);
        if (lines.length === 3) controller.abort();
      },
      everyMs: 1,
      signal: controller.signal,
    });
    expect(lines).toHaveLength(3);
    for (const line of lines) expect(line).toMatch(/^agent-1 .*\/s \(100 % from peers\)$/);
  });
});

describe('openProgress', () => {
  it('writes plain lines where there is no terminal', () => {
    const stream = new PassThrough();
    const progress = openProgress(stream);
    const task = progress.task('push', 2048);
    task.add(1024);
    task.add(1024);
    task.done('done');
    progress.stop();
    expect(String(stream.read())).toMatch(/^ {2}push {5}2\.0 KiB of 2\.0 KiB .*\/s done\n$/);
  });

  it('draws bars on a terminal', async () => {
    const stream = Object.assign(new PassThrough(), {
      isTTY: true,
      columns: 120,
      rows: 40,
      cursorTo: () => true,
      clearLine: () => true,
      moveCursor: () => true,
      clearScreenDown: () => true,
    });
    const progress = openProgress(stream);
    const task = progress.task('agent-1', 2048);
    task.add(2048);
    task.done('digests match');
    progress.stop();
    const text = String(stream.read());
    expect(text).toContain('agent-1');
    expect(text).toContain('2.0 KiB of 2.0 KiB');
    expect(text).toContain('digests match');
  });
});
