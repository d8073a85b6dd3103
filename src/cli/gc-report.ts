import { type GcAction, type GcReport, reasonTexts } from '../gc/index.ts';
import { formatSize } from './values.ts';

/** Lines of each list; `--json` has everything. */
const LINES_MAX = 50;

const done: Readonly<Record<GcAction, string>> = {
  quarantine: 'put in quarantine',
  restore: 'moved back',
  delete: 'deleted',
};

/** A report for people: what was done and why, by repository, and what is not as it should be. */
export function renderGcReport(report: GcReport): string {
  const { seen, totals } = report;
  const would = report.dryRun ? 'would be ' : '';
  const actions = ['quarantine', 'restore', 'delete'] as const;
  const lines = [
    `${seen.repositories} repositories, ${seen.manifests} manifests and ${seen.blobs} blobs in ${report.seconds.toFixed(1)} s, ` +
      `${report.operations} operations${report.dryRun ? '; a dry run: nothing was written' : ''}`,
    '',
    ...actions.map((action) => {
      const { objects, bytes } = totals[action];
      return `${objects} ${objects === 1 ? 'object' : 'objects'} ${would}${done[action]} (${formatSize(bytes)})`;
    }),
  ];
  if (report.items.length > 0) {
    const rows = report.items.slice(0, LINES_MAX).map((item) => {
      const size = item.sizeBytes === undefined ? '' : formatSize(item.sizeBytes);
      return [item.action, item.object, item.digest, size, item.repository ?? '', reasonTexts[item.reason]];
    });
    lines.push('', ...tableOf(['action', 'object', 'digest', 'size', 'repository', 'why'], rows));
    lines.push(...leftOut(report.items.length + report.itemsLeftOut - rows.length));
  }
  if (report.repositories.length > 0) {
    const rows = report.repositories
      .slice(0, LINES_MAX)
      .map((counts) => [counts.repository, ...actions.map((action) => String(counts[action]))]);
    lines.push('', ...tableOf(['repository', 'quarantine', 'restore', 'delete'], rows));
    lines.push(...leftOut(report.repositories.length - rows.length));
  }
  if (report.problems.length > 0) {
    const shown = report.problems.slice(0, LINES_MAX);
    lines.push('', 'problems (nothing that may hang on them was touched):');
    lines.push(...shown.map(({ kind, message }) => `  ${kind}: ${message}`));
    lines.push(...leftOut(report.problems.length + report.problemsLeftOut - shown.length));
  }
  return lines.join('\n');
}

function leftOut(count: number): string[] {
  return count > 0 ? [`… and ${count} more; --json has them all`] : [];
}

function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((_title, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)));
  return [head, ...rows].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
