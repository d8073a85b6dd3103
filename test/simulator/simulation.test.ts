import { describe, expect, it } from 'vitest';
import { floorMs, parseOptions } from '../../bench/simulator/options.ts';
import { reportOf } from '../../bench/simulator/report.ts';
import { Simulation } from '../../bench/simulator/simulation.ts';

const cost = { wallSeconds: 0, cpuSeconds: 0, peakMemoryBytes: 0 };
const small = '--hosts 12 --blobs 2x4MiB --rate 50mbit --origins 1 --degree 5';

function run(line: string) {
  const { simulation: options } = parseOptions(line.split(' '));
  const simulation = new Simulation(options);
  simulation.run();
  return { simulation, options, report: reportOf(simulation, cost) };
}

describe('Simulation', () => {
  it.each([
    ['of equal hosts', small],
    ['with two origins', `${small} --origins 2`],
    ['of hosts that come one after the other', `${small} --arrivals poisson:2s`],
    ['with slow hosts', `${small} --slow 2:5mbit`],
    ['with hosts that restart', `${small} --churn 100`],
    ['with warm hosts and no origin', `${small} --origins 0 --warm 1`],
    ['with links shared in blocks', `${small} --piece-length 256KiB --quantum 64KiB`],
    ['in zones', `${small} --zones 3`],
    ['without readers', `${small} --no-stream`],
    ['of a single host', '--hosts 1 --blobs 4MiB'],
  ])('brings every piece to every host once, in a fleet %s', (_name, line) => {
    const { simulation, options, report } = run(line);
    const { fleet, exchange, links } = simulation;
    expect(simulation.unfinished).toBe(0);
    expect(report.finished).toBe(report.judged);
    for (let node = options.warm * fleet.blobs; node < options.hosts * fleet.blobs; node++) {
      const pieces = Array.from({ length: fleet.logCount[node]! }, (_, index) => fleet.loggedPiece(node, index));
      expect(pieces.toSorted((a, b) => a - b)).toEqual(Array.from({ length: fleet.pieces }, (_, piece) => piece));
    }
    const fetched = (options.hosts - options.warm) * options.blobs * options.blobBytes;
    expect(exchange.arrivedBytes - exchange.wastedBytes).toBeGreaterThanOrEqual(fetched);
    const sent = links.sentBytes.reduce((sum, bytes) => sum + bytes, 0);
    expect(sent).toBe(links.receivedBytes.reduce((sum, bytes) => sum + bytes, 0));
    expect(sent).toBeGreaterThanOrEqual(exchange.arrivedBytes);
  });

  it('lets nobody be faster than its link', () => {
    const { simulation, options, report } = run(small);
    expect(report.completionMs!.p50).toBeGreaterThan(floorMs(options));
    for (let host = 0; host < options.hosts + options.origins; host++) {
      const most = (options.rate * simulation.nowMs) / 1000;
      expect(simulation.links.sentBytes[host]!).toBeLessThanOrEqual(most + options.pieceLength);
    }
  });

  it('repeats itself with the same seed, and only then', () => {
    const line = `${small} --churn 30 --arrivals uniform:1s`;
    const first = run(line).report;
    expect(run(line).report).toEqual(first);
    expect(run(`${line} --seed 2`).report.distributionMs).not.toEqual(first.distributionMs);
  });

  it('goes on without those that are killed, and does not count them', () => {
    const { report, simulation } = run(`${small} --kill 1/3@0.5`);
    expect(report.judged).toBe(8);
    expect(report.finished).toBe(8);
    expect([...simulation.fleet.alive.slice(0, 12)]).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
  });

  it('reports slow hosts apart', () => {
    const { report } = run(`${small} --slow 2:5mbit`);
    expect(report.judged).toBe(10);
    expect(report.slowCompletionMs!.p50).toBeGreaterThan(3 * report.completionMs!.p50);
  });

  it('ends in time when nobody has what is wanted', () => {
    const { report, simulation } = run('--hosts 3 --origins 0 --blobs 4MiB --max-seconds 5');
    expect(simulation.unfinished).toBe(3);
    expect(report.completionMs).toBeUndefined();
    expect(simulation.nowMs).toBeLessThan(5_200);
  });

  it('has the tracker’s queue in its way when announces are many', () => {
    const free = run('--hosts 40 --blobs 1MiB --rate 1gbit').report;
    const busy = run('--hosts 40 --blobs 1MiB --rate 1gbit --tracker-rate 20').report;
    expect(busy.firstByteMs!.max).toBeGreaterThan(free.firstByteMs!.max + 1_000);
  });
});
