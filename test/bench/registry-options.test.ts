import { describe, expect, it } from 'vitest';
import { BenchRunError, BenchUsageError } from '../../bench/lib/errors.ts';
import { caseNames } from '../../bench/registry/cases.ts';
import { nginxConfig } from '../../bench/registry/nginx-config.ts';
import { parseRegistryOptions } from '../../bench/registry/options.ts';
import { parseWrk } from '../../bench/registry/wrk.ts';

const parse = (line: string) => parseRegistryOptions(line.split(' ').filter((word) => word !== ''))!;

describe('the command line of bench:registry', () => {
  it('measures all cases beside distribution when nothing is said', () => {
    expect(parse('')).toEqual({
      cases: caseNames,
      engines: [{ kind: 'shoal' }, { kind: 'distribution' }],
      runs: 5,
      sizeBytes: 512 * 2 ** 20,
      durationSeconds: 10,
      slowReaders: 200,
      json: false,
      cleanup: false,
    });
  });

  it('takes cases, engines, sizes and times', () => {
    const line =
      '--case slow,blob2k,slow --engine distribution,shoal:../x --size 1MiB --duration 2.5 --slow-readers 7 --runs 1';
    expect(parse(`${line} --json --out f --dir d`)).toEqual({
      cases: ['slow', 'blob2k'],
      engines: [{ kind: 'distribution' }, { kind: 'shoal', checkout: '../x' }],
      runs: 1,
      sizeBytes: 2 ** 20,
      durationSeconds: 2.5,
      slowReaders: 7,
      json: true,
      cleanup: false,
      out: 'f',
      directory: 'd',
    });
  });

  it.each([
    '--case none',
    '--case blob2k,',
    '--engine docker',
    '--engine shoal:',
    '--runs 0',
    '--size 512',
    '--duration 0.5',
    '--duration long',
    '--slow-readers 0',
    'surplus',
  ])('refuses %s', (line) => {
    expect(() => parse(line)).toThrow(BenchUsageError);
  });
});

const said = (lines: readonly string[]) => `Running 2s test @ http://127.0.0.1:1\n${lines.join('\n')}\n`;
const latency = ['  Latency Distribution', '     50%  811.00us', '     75%    1.02ms', '     99%    1.20s '];

describe('the output of wrk', () => {
  it('is read in its units', () => {
    const text = said([...latency, '  12345 requests in 2.10s, 30.45MB read', 'Requests/sec:   5878.57']);
    expect(parseWrk(text)).toEqual({ requests: 12_345, requestsPerSecond: 5878.57, p50Ms: 0.811, p99Ms: 1200 });
  });

  it.each([
    ['errors of the server', ['  Non-2xx or 3xx responses: 1', '  10 requests in 2s, 1KB read', 'Requests/sec: 5.0']],
    [
      'of sockets',
      ['  Socket errors: connect 0, read 1, write 0, timeout 0', '  10 requests in 2s', 'Requests/sec: 5'],
    ],
    ['no answer at all', ['  0 requests in 2.00s, 0.00B read', 'Requests/sec:      0.00']],
    ['nothing', []],
  ])('is an error when it tells of %s', (_what, lines) => {
    expect(() => parseWrk(said([...latency, ...lines]))).toThrow(BenchRunError);
  });
});

describe('the configuration of nginx', () => {
  it('is the example with other ports and folders', async () => {
    const config = await nginxConfig({ directory: '/tmp/n', port: 4, registryPort: 5, rootdirectory: '/data' });
    expect(config).toContain('listen 127.0.0.1:4;');
    expect(config).toContain('server 127.0.0.1:5;');
    expect(config).toContain('alias /data/docker/registry/v2/blobs/;');
    expect(config).not.toMatch(/^\s*listen 80/m);
  });
});
