import { describe, expect, it } from 'vitest';
import { isIndexType, isNonDistributable, mediaTypes } from '../../src/core/index.ts';

describe('media types', () => {
  it.each([
    'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    'application/vnd.oci.image.layer.nondistributable.v1.tar',
    'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
    'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
  ])('%s stays elsewhere', (mediaType) => {
    expect(isNonDistributable(mediaType)).toBe(true);
  });

  it.each([
    mediaTypes.ociLayerTar,
    mediaTypes.ociLayerTarGzip,
    mediaTypes.ociConfig,
    'application/vnd.docker.image.rootfs.diff.tar.gzip',
    'application/vnd.oci.image.layer.nondistributable',
    '',
  ])('%j has to be in the registry', (mediaType) => {
    expect(isNonDistributable(mediaType)).toBe(false);
  });

  it('tell indexes from the rest', () => {
    const indexes = Object.values(mediaTypes).filter(isIndexType);
    expect(indexes).toEqual([mediaTypes.ociIndex, mediaTypes.dockerManifestList]);
  });
});
