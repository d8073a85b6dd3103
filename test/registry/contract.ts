import { blobContract } from './contract-blobs.ts';
import { dataSetContract } from './contract-data-sets.ts';
import { listingContract } from './contract-listings.ts';
import { manifestContract } from './contract-manifests.ts';
import { mountContract } from './contract-mounts.ts';
import { repositoryContract } from './contract-repositories.ts';
import { uploadSessionContract } from './contract-upload-sessions.ts';
import { uploadContract } from './contract-uploads.ts';
import type { MakeRegistry } from './make-registry.ts';

/**
 * What every registry has to do, whatever driver is behind it, over real HTTP: all checks of the OCI conformance suites, and
 * what they leave out. Run by a test file for each driver, and on a whole cluster by test/cluster/conformance.test.ts.
 *
 * Where the checks of the suites are ("dev" is the suite with OCI_VERSION=dev, "1.1" that of 1.1.1; a row without either is
 * in both). All of them are asked by sha256 and by sha512 where the suite does so.
 *
 * | check                                                        | here                                             |
 * |--------------------------------------------------------------|--------------------------------------------------|
 * | ping                                                         | listings: "answers GET /v2 with its version"     |
 * | tags of a repository never used (dev)                        | listings: "does not know a repository that …"    |
 * | referrers in a repository never used                         | listings: "gives an empty index for what …"      |
 * | blob missing: GET, HEAD                                      | uploads: each way asks before; blobs             |
 * | one POST; POST and PUT; one chunk; chunks; last chunk in PUT | uploads: "takes a blob in …"                     |
 * | streamed PATCH                                               | uploads: "… a stream without a length"           |
 * | chunks out of order, and again; GET of the session; go on    | uploads: "refuses chunks out of order …"         |
 * | last chunk out of order in the PUT (dev)                     | uploads: "refuses the last chunk …"              |
 * | blob of no bytes, of `{}` (dev)                              | uploads: "takes a blob of …"                     |
 * | other bytes than the digest names, in each way               | uploads: "refuses other bytes …"                 |
 * | Location, digest header, HEAD, GET, DELETE, then 404         | uploads: "takes a blob in …"                     |
 * | mount; without from; of what is missing; then POST and PUT   | mounts                                           |
 * | cancel of an upload (dev)                                    | upload sessions: "cancels an upload"             |
 * | ranges: closed, open, suffix, cut, inverted, outside (dev)   | blobs: "answers the range", "refuses the range"  |
 * | digest header of blobs and manifests, GET and HEAD (dev)     | uploads, data sets: each GET and HEAD            |
 * | image, uncompressed, large, index, nested, empty, artifact,  | data sets: one case each, from push to delete,   |
 * | artifact index, without layers, subjects, missing subject,   | with tags/list, `last`, referrers and their      |
 * | data field, not distributed, custom fields, no layers,       | filter, GET and HEAD by tag and digest           |
 * | sha512, tag parameters (dev)                                 |                                                  |
 * | sparse index (dev; off by itself)                            | manifests: "wants the children of an index …"    |
 * | manifest with other bytes than its digest                    | manifests: "refuses other bytes than …"          |
 * | manifest missing by tag and digest: GET, HEAD                | manifests: "answers GET of", "answers HEAD of"   |
 * | digest that is none: PUT, GET                                | manifests: "answers PUT of sha256:baddigest…"    |
 * | body of a 400 (1.1)                                          | manifests: "refuses a document that is …"        |
 * | manifest without layers (1.1)                                | data sets: "an image without layers"             |
 * | tags sorted, `n`, `last` (1.1)                               | listings: tags                                   |
 * | OCI-Subject, OCI-Tag, OCI-Filters-Applied                    | data sets                                        |
 * | delete of tag, manifest, blob; the list gets shorter; 404    | data sets; manifests that are deleted            |
 */
export function registryContract(name: string, makeRegistry: MakeRegistry): void {
  uploadContract(name, makeRegistry);
  uploadSessionContract(name, makeRegistry);
  mountContract(name, makeRegistry);
  blobContract(name, makeRegistry);
  manifestContract(name, makeRegistry);
  dataSetContract(name, makeRegistry);
  listingContract(name, makeRegistry);
  repositoryContract(name, makeRegistry);
}
