import type { Clock, KeyedMutex } from '../core/index.ts';
import type { BlockCache } from './block-cache.ts';
import type { DurableFiles } from './durable.ts';
import type { EvictionOrder } from './eviction.ts';
import type { FileOps } from './files.ts';
import type { Layout } from './layout.ts';
import type { LoopLoad } from './loop-load.ts';
import type { PieceThreads } from './piece-threads.ts';
import type { Space } from './space.ts';
import type { StoreLogger } from './store-logger.ts';

/** What the parts of one store share. */
export interface StoreContext {
  readonly ops: FileOps;
  readonly files: DurableFiles;
  readonly layout: Layout;
  /** Keys are `upload <id>`, `download <digest>` and `blob <digest>`, taken in this order. */
  readonly locks: KeyedMutex;
  readonly order: EvictionOrder;
  readonly space: Space;
  readonly cache: BlockCache;
  readonly threads: PieceThreads;
  readonly load: LoopLoad;
  readonly clock: Clock;
  readonly logger: StoreLogger;
  /** What is open and has to be closed with the store; whoever opens adds, whoever closes removes. */
  readonly openThings: Set<{ close(): Promise<void> }>;
}
