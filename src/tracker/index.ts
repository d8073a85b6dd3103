export { type PeerStoreConfig, PeerStoreConfigSchema, type TrackerConfig, TrackerConfigSchema } from './config.ts';
export { MemoryPeerStore } from './memory-peer-store.ts';
export { openPeerStore } from './open-peer-store.ts';
export * from './peer-store.ts';
export { RedisPeerStore } from './redis-peer-store.ts';
export { TrackerServer } from './server.ts';
