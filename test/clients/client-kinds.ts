import type { ClientKind } from './container-client.ts';
import { containerd } from './containerd-client.ts';
import { docker } from './docker-client.ts';
import { buildah, podman } from './podman-client.ts';
import { skopeo } from './skopeo-client.ts';

/** Every container client that Shoal is tested with. */
export const clientKinds: readonly ClientKind[] = [docker, containerd, podman, buildah, skopeo];
