export * from './cluster-probe.ts';
