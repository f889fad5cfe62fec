import type { Event as CoreEvent } from 'kubernetes-types/core/v1.js';
import type { Event as NewEvent } from 'kubernetes-types/events/v1.js';
import { ageOf } from './age.ts';
import { nameOf, none, printer, type BuiltinPrinter } from './builtin-printer.ts';

/** An event in either of the API's two spellings. */
type AnyEvent = Partial<Omit<CoreEvent, 'series'>> &
  Partial<
    Omit<NewEvent, 'series' | 'metadata' | 'kind' | 'apiVersion' | 'eventTime' | 'action' | 'related'>
  > & {
    readonly series?: { readonly count?: number; readonly lastObservedTime?: unknown };
  };

function sourceText(event: AnyEvent): string {
  const { component, host } = event.source ?? event.deprecatedSource ?? {};
  if (component || host) return [component, host].filter(Boolean).join(', ');
  const controller = event.reportingController ?? event.reportingComponent;
  return [controller, event.reportingInstance].filter(Boolean).join(', ');
}

function event(found: AnyEvent, nowMs: number) {
  const { series, eventTime } = found;
  const first = found.firstTimestamp ?? found.deprecatedFirstTimestamp ?? eventTime;
  const last = series?.lastObservedTime ?? found.lastTimestamp ?? found.deprecatedLastTimestamp ?? first;
  const about = found.involvedObject ?? found.regarding;
  const kind = about?.kind?.toLowerCase() ?? '';
  return [
    ageOf(last, nowMs),
    found.type,
    found.reason,
    about?.name ? `${kind}/${about.name}` : kind,
    about?.fieldPath,
    sourceText(found),
    (found.message ?? found.note ?? '').trim(),
    ageOf(first, nowMs),
    series?.count ?? (found.count || found.deprecatedCount || 1),
    nameOf(found) || none,
  ];
}

export const eventPrinters: Readonly<Record<string, BuiltinPrinter>> = {
  Event: printer<AnyEvent>(
    'Last Seen,Type,Reason,Object,Subobject*,Source*,Message,First Seen*,Count*,Name*',
    event,
  ),
};
