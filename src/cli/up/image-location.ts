import { InvalidArgumentError } from 'commander';

/** Where `--image` says that the image is. */
export type ImageLocation =
  | { readonly kind: 'oci'; readonly folder: string; readonly tag: string | undefined }
  | { readonly kind: 'registry'; readonly url: string; readonly repository: string; readonly reference: string };

const EXPECTED = 'oci:DIR, oci:DIR:TAG or docker://HOST/NAME:TAG';

/** Reads `oci:DIR`, `oci:DIR:TAG`, `docker://HOST/NAME:TAG`, `docker://HOST/NAME@DIGEST`. @throws InvalidArgumentError */
export function parseImageLocation(text: string): ImageLocation {
  if (text.startsWith('oci:')) return parseLayoutLocation(text.slice('oci:'.length));
  if (text.startsWith('docker://')) return parseRegistryLocation(text.slice('docker://'.length));
  throw new InvalidArgumentError(`expected ${EXPECTED}, got "${text}".`);
}

function parseLayoutLocation(rest: string): ImageLocation {
  const match = /^(.+?)(?::([A-Za-z0-9_][A-Za-z0-9._-]*))?$/.exec(rest);
  if (match?.[1] === undefined) throw new InvalidArgumentError(`expected ${EXPECTED}, got "oci:${rest}".`);
  return { kind: 'oci', folder: match[1], tag: match[2] };
}

function parseRegistryLocation(rest: string): ImageLocation {
  const slash = rest.indexOf('/');
  const [host, name] = [rest.slice(0, slash), rest.slice(slash + 1)];
  const at = name.indexOf('@');
  const colon = name.lastIndexOf(':');
  const end = at >= 0 ? at : colon;
  if (slash < 1 || name === '' || end === 0)
    throw new InvalidArgumentError(`expected ${EXPECTED}, got "docker://${rest}".`);
  return {
    kind: 'registry',
    url: urlOfHost(host),
    repository: end < 0 ? name : name.slice(0, end),
    reference: end < 0 ? 'latest' : name.slice(end + 1),
  };
}

/** As Docker does: this machine without TLS, all others with it. */
function urlOfHost(host: string): string {
  // Docker Hub answers under another name than the one that people write.
  const name = host === 'docker.io' ? 'registry-1.docker.io' : host;
  const bare = name.replace(/:\d+$/, '');
  const local = bare === 'localhost' || bare === '[::1]' || bare.startsWith('127.');
  return `${local ? 'http' : 'https'}://${name}`;
}
