import type { KubeObject, Stored } from '../../api/resource.ts';
import type { EventRecorder } from '../../kube/events.ts';

/** Tells each object's news once: the same reason and text again is no news, and no write. */
export interface EventVoice {
  tell(object: Stored<KubeObject>, type: 'Normal' | 'Warning', reason: string, message: string): void;
}

const maxObjects = 10_000;

export function eventVoice(recorder: EventRecorder): EventVoice {
  const told = new Map<string, Set<string>>();
  return {
    tell(object, type, reason, message) {
      const { uid } = object.metadata;
      const texts = told.get(uid) ?? new Set<string>();
      const text = `${reason}\0${message}`;
      if (texts.has(text)) return;
      if (texts.size >= 16) texts.clear();
      texts.add(text);
      told.delete(uid);
      told.set(uid, texts);
      const [oldest] = told.keys();
      if (told.size > maxObjects && oldest !== undefined) told.delete(oldest);
      recorder.event(object, type, reason, message);
    },
  };
}
