import type { Digest, Repository } from '../core/index.ts';

/** What happens to an object; in a dry run what would happen. */
export type GcAction = 'quarantine' | 'restore' | 'delete';

/** What an object is. A `note` is what the quarantine itself has left. */
export type GcObject = 'blob' | 'manifest' | 'layer-link' | 'referrer' | 'tag-history' | 'note';

/** Why something happens to an object; `reasonTexts` has the words. */
export type GcReason =
  | 'unlinked'
  | 'untagged'
  | 'unused'
  | 'expired'
  | 'referenced'
  | 'superfluous'
  | 'manifest-gone'
  | 'not-listed';

/** The reasons in words. */
export const reasonTexts: Readonly<Record<GcReason, string>> = {
  unlinked: 'no repository links it',
  untagged: 'no tag leads to it',
  unused: 'no manifest of the repository names it',
  expired: 'in quarantine long enough, and nothing leads to it',
  referenced: 'needed again',
  superfluous: 'at its place again',
  'manifest-gone': 'its manifest is gone',
  'not-listed': 'missing among the referrers of its subject',
};

/** One object that a collection has done something with. */
export interface GcItem {
  readonly action: GcAction;
  readonly object: GcObject;
  readonly reason: GcReason;
  readonly digest: Digest;
  /** Missing for blobs, which belong to no repository. */
  readonly repository?: Repository;
  /** Of a blob; links take next to nothing. */
  readonly sizeBytes?: number;
}

/** Something that is not as it should be. It is only reported, and whatever may hang on it is kept. */
export interface GcProblem {
  readonly kind:
    | 'blob-missing'
    | 'manifest-missing'
    | 'manifest-damaged'
    | 'manifest-unknown'
    | 'tag-dangling'
    | 'foreign-entry';
  readonly message: string;
  readonly repository?: Repository;
  readonly digest?: Digest;
}

/** Objects and, for blobs, their bytes. */
export interface GcCount {
  readonly objects: number;
  readonly bytes: number;
}

/** How many objects of one repository were touched. */
export type RepositoryCounts = Readonly<Record<GcAction, number>> & { readonly repository: Repository };

/** What a collection has done, or in a dry run would do. */
export interface GcReport {
  readonly dryRun: boolean;
  readonly untagged: boolean;
  /** When it began, in ISO 8601. */
  readonly startedAt: string;
  readonly seconds: number;
  /** Calls of the storage driver. */
  readonly operations: number;
  /** What was looked at. */
  readonly seen: { readonly repositories: number; readonly manifests: number; readonly blobs: number };
  readonly totals: Readonly<Record<GcAction, GcCount>>;
  /** Bytes of the blobs that were deleted. */
  readonly reclaimedBytes: number;
  /** Repositories of which something was touched, in the order in which they were walked. */
  readonly repositories: readonly RepositoryCounts[];
  readonly items: readonly GcItem[];
  /** Items beyond the limit of the list; they are counted all the same. */
  readonly itemsLeftOut: number;
  readonly problems: readonly GcProblem[];
  readonly problemsLeftOut: number;
}

/** Gathers a report while a collection runs; the lists are bounded, the counts are exact. */
export class ReportBuilder {
  readonly #limit: number;
  readonly #onItem: ((item: GcItem) => void) | undefined;
  readonly #items: GcItem[] = [];
  readonly #problems: GcProblem[] = [];
  readonly #totals = { quarantine: newCount(), restore: newCount(), delete: newCount() };
  readonly #repositories = new Map<Repository, Record<GcAction, number>>();
  readonly seen = { repositories: 0, manifests: 0, blobs: 0 };
  #itemCount = 0;
  #problemCount = 0;

  constructor(options: { readonly limit: number; readonly onItem: ((item: GcItem) => void) | undefined }) {
    this.#limit = options.limit;
    this.#onItem = options.onItem;
  }

  add(item: GcItem): void {
    this.#onItem?.(item);
    this.#itemCount += 1;
    if (this.#items.length < this.#limit) this.#items.push(item);
    const total = this.#totals[item.action];
    total.objects += 1;
    total.bytes += item.sizeBytes ?? 0;
    if (item.repository === undefined) return;
    const counts = this.#repositories.get(item.repository) ?? { quarantine: 0, restore: 0, delete: 0 };
    counts[item.action] += 1;
    if (this.#repositories.has(item.repository) || this.#repositories.size < this.#limit) {
      this.#repositories.set(item.repository, counts);
    }
  }

  problem(problem: GcProblem): void {
    this.#problemCount += 1;
    if (this.#problems.length < this.#limit) this.#problems.push(problem);
  }

  build(
    facts: Pick<GcReport, 'dryRun' | 'untagged' | 'operations' | 'seconds'> & { readonly startedMs: number },
  ): GcReport {
    const { startedMs, ...rest } = facts;
    return {
      ...rest,
      startedAt: new Date(startedMs).toISOString(),
      seen: { ...this.seen },
      totals: this.#totals,
      reclaimedBytes: this.#totals.delete.bytes,
      repositories: [...this.#repositories].map(([repository, counts]) => ({ repository, ...counts })),
      items: this.#items,
      itemsLeftOut: this.#itemCount - this.#items.length,
      problems: this.#problems,
      problemsLeftOut: this.#problemCount - this.#problems.length,
    };
  }
}

function newCount(): { objects: number; bytes: number } {
  return { objects: 0, bytes: 0 };
}
