export * from './config.ts';
export type * from './image-transferer.ts';
export { PUSH_PIN } from './push-pins.ts';
export * from './read-only-transferer.ts';
export * from './read-write-transferer.ts';
export type { FinishedDownload, TransferStatistics } from './transfer-ledger.ts';
