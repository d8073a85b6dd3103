import { describe, expect, it } from 'vitest';
import { checkOf, isWithinLimit, optionsFor } from '../../bench/simulator/check.ts';
import { parseOptions } from '../../bench/simulator/options.ts';
import { plotOf } from '../../bench/simulator/plot.ts';
import { describeReport, reportOf } from '../../bench/simulator/report.ts';
import { Simulation } from '../../bench/simulator/simulation.ts';
import type { SwarmRun } from '../../bench/swarm/run.ts';
import { defaultSettings, type SwarmSettings } from '../../bench/swarm/settings.ts';

function reportFor(line: string) {
  const simulation = new Simulation(parseOptions(line.split(' ')).simulation);
  simulation.run();
  return reportOf(simulation, { wallSeconds: 1.5, cpuSeconds: 1.25, peakMemoryBytes: 1e8 });
}

const settings: SwarmSettings = { ...defaultSettings, hosts: 4, sizeBytes: 4 * 2 ** 20 };

/** A result of the bench with these figures. */
function runWith(lastByteMs: number, copies: number): SwarmRun {
  const hosts = Array.from({ length: 4 }, (_, host) => ({ host, status: 'finished', judged: true, lastByteMs }));
  return { engine: 'shoal', settings, hosts, copies } as unknown as SwarmRun;
}

describe('the report', () => {
  it('says what was simulated, what came of it, and what it cost', () => {
    const text = describeReport(reportFor('--hosts 6 --blobs 4MiB --slow 1:20mbit'));
    for (const part of ['6 agents, 1 origins', 'p99.9', '5 of 5', 'slow hosts', 'prefix', 'copies', 'busiest second']) {
      expect(text).toContain(part);
    }
    expect(text).toContain('1.5 s of wall time, 1.3 s of CPU, 100 MB');
  });

  it('marks pieces that are coarser than production’s, in text and plot', () => {
    const report = reportFor('--hosts 3 --blobs 4MiB --pieces-scale 4');
    expect(describeReport(report)).toContain('COARSER THAN PRODUCTION by 4');
    expect(plotOf(report)).toContain('4 times coarser');
  });

  it('keeps a bounded number of points of the distribution, the first and the last among them', () => {
    const report = reportFor('--hosts 2300 --blobs 128KiB --rate 1gbit');
    expect(report.distributionMs).toHaveLength(2000);
    expect(report.distributionMs.at(-1)).toBe(Math.round(report.completionMs!.max));
  });

  it('draws a curve that ends at the last host, with the floor marked', () => {
    const plot = plotOf(reportFor('--hosts 6 --blobs 4MiB'));
    expect(plot).toMatch(/^<svg [^>]*>/);
    expect(plot.match(/<polyline[^>]*points="([^"]*)"/)?.[1]?.split(' ')).toHaveLength(7);
    expect(plot).toContain('floor 0.7 s');
    expect(plot).not.toContain('NaN');
  });

  it('draws without a host that finished', () => {
    expect(plotOf(reportFor('--hosts 2 --origins 0 --max-seconds 1'))).not.toContain('NaN');
  });
});

describe('the check against the bench', () => {
  it('simulates the topology that was measured', () => {
    const shaped = { ...settings, degree: 3, slow: { host: 2, rate: 5e6 }, kill: { share: 0.25, at: 0.5 } };
    expect(optionsFor({ ...shaped, originRate: 100e6, arrivalsSeconds: 2, warm: 1 })).toMatchObject({
      hosts: 4,
      origins: 1,
      blobBytes: 4 * 2 ** 20,
      rate: (0.956 * 50e6) / 8,
      originRate: (0.956 * 100e6) / 8,
      degree: 3,
      slow: { count: 1, rate: (0.956 * 5e6) / 8 },
      kill: { share: 0.25, at: 0.5 },
      arrivals: { kind: 'even', overMs: 2000 },
      warm: 1,
    });
    expect(() => optionsFor({ ...settings, rate: undefined })).toThrowError(/cannot be simulated/);
  });

  it('is content with what it simulates itself, and not with something else', () => {
    const { simulated } = checkOf(settings, [runWith(1000, 1)]);
    expect(isWithinLimit(checkOf(settings, [runWith(simulated.p50Ms, simulated.copies)]))).toBe(true);
    expect(isWithinLimit(checkOf(settings, [runWith(1.5 * simulated.p50Ms, simulated.copies)]))).toBe(false);
    expect(isWithinLimit(checkOf(settings, [runWith(simulated.p50Ms, 1.5 * simulated.copies)]))).toBe(false);
  });
});
