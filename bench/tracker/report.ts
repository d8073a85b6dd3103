import type { PhaseResult } from './fleet.ts';
import type { ForeignFigures } from './foreign.ts';
import type { TrackerResult } from './main.ts';

/** The result as people read it. */
export function describeTrackerResult({ fleet, foreign, machine }: TrackerResult): string {
  return [
    `${machine.cpu}, ${machine.cores} cores, Node ${machine.node}`,
    `${fleet.hosts} hosts, ${fleet.swarmsPerHost} swarms each, ${fleet.blobs} blobs; tracker's peak memory ${megabytes(fleet.peakMemoryBytes)}`,
    ...fleet.phases.map(describePhase),
    ...(foreign === undefined ? [] : [describeForeign(foreign)]),
  ].join('\n');
}

function describePhase(phase: PhaseResult): string {
  const { name, announces, failed, askedForAll } = phase;
  const faults = failed + askedForAll === 0 ? '' : `, ${failed} FAILED, ${askedForAll} ASKED FOR ALL`;
  return [
    `${name}: ${announces} announces, ${phase.perSecond.toFixed(0)} a second${faults}`,
    `  p50 ${ms(phase.p50Ms)}, p99 ${ms(phase.p99Ms)} (${ms(phase.p99FromSendMs)} from send), max ${ms(phase.maxMs)}`,
    `  tracker ${phase.trackerCpuSeconds.toFixed(2)} CPU s (${percent(phase.trackerCpuShare)} of a core), ` +
      `${megabytes(phase.trackerMemoryBytes)}, ${phase.megabytesPerSecond.toFixed(1)} MB/s of answers`,
    `  load ${phase.loadCpuSeconds.toFixed(2)} CPU s; the machine was ${percent(phase.machineBusy)} busy`,
  ].join('\n');
}

function describeForeign({
  shoalPerSecond,
  shoalKeptOpenPerSecond,
  opentrackerPerSecond,
  ratio,
}: ForeignFigures): string {
  const other =
    opentrackerPerSecond === undefined
      ? 'opentracker not measured'
      : `opentracker ${opentrackerPerSecond.toFixed(0)}, ratio ${ratio!.toFixed(2)}`;
  return `BEP 3: ${shoalPerSecond.toFixed(0)} requests a second (${shoalKeptOpenPerSecond.toFixed(0)} on open connections), ${other}`;
}

function ms(value: number | undefined): string {
  return value === undefined ? '–' : `${value.toFixed(1)} ms`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
