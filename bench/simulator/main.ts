/** `npm run simulate`: a fleet in virtual time. See docs/simulator.md. */
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { defaultResultFile, resultHead } from '../lib/result-file.ts';
import { progress, runBench } from '../lib/run-bench.ts';
import { helpText } from './help.ts';
import { parseOptions, type SimulationOptions } from './options.ts';
import { plotOf } from './plot.ts';
import { describeReport, reportOf, type SimulationReport, type SimulationResult } from './report.ts';
import { Simulation } from './simulation.ts';

const PROGRESS_EVERY_MS = 2_000;

async function main(signal: AbortSignal): Promise<number> {
  const { simulation: options, json, plot, help } = parseOptions(process.argv.slice(2));
  if (help) {
    console.log(helpText);
    return 0;
  }
  const head = await resultHead('simulator', new Date());
  const report = await simulate(options, signal);
  const result: SimulationResult = { ...head, report };
  console.log(json ? JSON.stringify(result, undefined, 2) : describeReport(report));
  if (plot !== 'none') {
    const file = plot ?? defaultResultFile(head).replace(/simulator-(.*)\.json$/, `simulate-${options.name}-$1.svg`);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, plotOf(report));
    progress(`plot written to ${plot === undefined ? `bench/results/${basename(file)}` : plot}`);
  }
  return report.finished === report.judged ? 0 : 1;
}

/** One run, with its progress on standard error. */
async function simulate(options: SimulationOptions, signal: AbortSignal): Promise<SimulationReport> {
  const startedMs = performance.now();
  const cpuBefore = process.cpuUsage();
  let printedMs = startedMs;
  const simulation = new Simulation(options);
  while (simulation.runSome()) {
    // Ctrl-C is an event, too.
    await setImmediate();
    signal.throwIfAborted();
    const nowMs = performance.now();
    if (nowMs - printedMs < PROGRESS_EVERY_MS) continue;
    printedMs = nowMs;
    const state = simulation.progress;
    const virtual = `${(state.virtualMs / 1000).toFixed(2)} s simulated`;
    const done = `${state.doneHosts} of ${state.hosts} hosts done`;
    progress(
      `${((nowMs - startedMs) / 1000).toFixed(0)} s: ${virtual}, ${done}, ${(state.events / 1e6).toFixed(1)} M events`,
    );
  }
  const cpu = process.cpuUsage(cpuBefore);
  return reportOf(simulation, {
    wallSeconds: (performance.now() - startedMs) / 1000,
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
  });
}

process.exitCode = await runBench(main);
