import { describe, expect, it } from 'vitest';
import { cases } from '../../bench/simulator/cases.ts';
import { helpText } from '../../bench/simulator/help.ts';
import { floorMs, parseOptions } from '../../bench/simulator/options.ts';

const parse = (line: string) => parseOptions(line.split(' ').filter((word) => word !== '')).simulation;

describe('the simulator’s command line', () => {
  it.each([
    ['--hosts 2600', { hosts: 2600 }],
    ['--blobs 2x1.5GB', { blobs: 2, blobBytes: 1.5e9, pieceLength: 1_048_576 }],
    ['--blobs 10GB', { blobs: 1, blobBytes: 10e9, pieceLength: 4_194_304 }],
    ['--rate 300MB/s --origin-rate 1gbit', { rate: 300e6, originRate: 125e6 }],
    ['--rate 50mbit --header-share 0.044', { rate: 0.956 * 6.25e6, originRate: 0.956 * 6.25e6 }],
    ['--arrivals poisson:2.5s', { arrivals: { kind: 'poisson', overMs: 2500 } }],
    ['--arrivals jitter:50ms', { arrivals: { kind: 'jitter', overMs: 50 } }],
    ['--slow 3:8mbit', { slow: { count: 3, rate: 1e6 } }],
    ['--kill 1/4@0.5', { kill: { share: 0.25, at: 0.5 } }],
    ['--kill 20%@2', { kill: { share: 0.2, at: 2 } }],
    ['--blobs 64MiB --pieces-scale 4', { piecesScale: 4, pieceLength: 262_144 }],
    ['--piece-length 256KiB --quantum 128KiB', { pieceLength: 262_144, quantumBytes: 131_072 }],
    ['--serve-order behind', { serveOrder: 'behind' }],
    ['--no-stream', { stream: false }],
    ['--announce-interval 1.5 --latency 0', { announceIntervalMs: 1500, latencyMs: 0 }],
  ])('reads %s', (line, expected) => {
    expect(parse(line)).toMatchObject(expected);
  });

  it.each([
    '--hosts 0',
    '--hosts many',
    '--hosts 1.5',
    '--rate 50',
    '--rate fast',
    '--blobs 0x1MB',
    '--blobs 2x',
    '--arrivals 5s',
    '--arrivals later:5s',
    '--slow 5mbit',
    '--slow 0:5mbit',
    '--kill 0.5',
    '--kill 2@0.5',
    '--serve-order first',
    '--latency -1',
    '--latency x',
    '--header-share 2',
    '--case nothing',
    '--unknown 1',
    'word',
  ])('refuses %s', (line) => {
    expect(() => parse(line)).toThrowError(expect.objectContaining({ code: 'BENCH_USAGE' }));
  });

  it('lets other options change a named case', () => {
    expect(parse('--case kraken --hosts 10')).toMatchObject({ name: 'kraken', hosts: 10, origins: 5, rate: 300e6 });
  });

  it.each(Object.keys(cases))('knows the case %s, and names it in its help', (name) => {
    expect(parse(`--case ${name}`).name).toBe(name);
    expect(helpText).toContain(name);
  });

  it('knows how long a link needs at least', () => {
    expect(floorMs(parse('--case kraken'))).toBeCloseTo(10_000);
    expect(floorMs(parse('--case eight'))).toBeCloseTo(11_231.6, 0);
  });
});
