import { closing } from '../http/index.ts';
import { ClusterProbe, type ProbeOptions } from './cluster-probe.ts';

/**
 * What `/readyz` asks of a program that leans on others: one of each kind has to answer. The probes are closed with `parts`.
 * The function that it returns throws UnavailableError, which names the kind that is silent.
 */
export function readyWhenAnswered(
  parts: AsyncDisposableStack,
  kinds: readonly ProbeOptions[],
): (signal: AbortSignal) => Promise<void> {
  const probes = kinds.map((kind) => closing(parts, new ClusterProbe(kind)));
  return async (signal) => {
    await Promise.all(probes.map((probe) => probe.check(signal)));
  };
}
