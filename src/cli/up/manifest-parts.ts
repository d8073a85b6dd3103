import { type Descriptor, type Manifest, requiredDescriptors } from '../../core/index.ts';
import { RegistryRequestError } from '../errors.ts';

/** Everything that has to be pushed before the manifest, each digest once. */
export function blobsOf(manifest: Manifest): Descriptor[] {
  return [...new Map(requiredDescriptors(manifest).map((entry) => [entry.digest, entry])).values()];
}

/** The child of an index for this machine: `linux` and its architecture, else the first. @throws RegistryRequestError */
export function chooseManifest(index: Manifest, bytes: Buffer): Descriptor {
  const wanted = process.arch === 'x64' ? 'amd64' : process.arch;
  const document = JSON.parse(bytes.toString('utf8')) as {
    manifests: { digest: string; platform?: { architecture?: string; os?: string } }[];
  };
  const entry = document.manifests.find(({ platform }) => platform?.os === 'linux' && platform.architecture === wanted);
  const chosen = index.manifests.find(({ digest }) => digest === entry?.digest) ?? index.manifests[0];
  if (chosen === undefined) throw new RegistryRequestError('the image index lists no manifest');
  return chosen;
}
