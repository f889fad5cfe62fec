import type { KubeObject, Stored } from '../../api/resource.ts';
import type { EventRecorder } from '../../kube/events.ts';

/** Tells each object's news once: the same reason and text again is no news, and no write. */
export interface EventVoice {
  tell(object: Stored<KubeObject>, type: 'Normal' | 'Warning', reason: string, message: string): void;
  /** What an object waits for: told where `lasts` still holds after some seconds. */
  wait(object: Stored<KubeObject>, reason: string, message: string, lasts: () => boolean): void;
}

const maxObjects = 10_000;

export function eventVoice(recorder: EventRecorder): EventVoice {
  const told = new Map<string, Set<string>>();
  const isNews = ({ metadata: { uid } }: Stored<KubeObject>, reason: string, message: string): boolean => {
    const texts = told.get(uid) ?? new Set<string>();
    const text = `${reason}\0${message}`;
    if (texts.has(text)) return false;
    if (texts.size >= 16) texts.clear();
    texts.add(text);
    told.delete(uid);
    told.set(uid, texts);
    const [oldest] = told.keys();
    if (told.size > maxObjects && oldest !== undefined) told.delete(oldest);
    return true;
  };
  return {
    tell(object, type, reason, message) {
      if (isNews(object, reason, message)) recorder.event(object, type, reason, message);
    },
    wait(object, reason, message, lasts) {
      recorder.wait(object, reason, message, () => lasts() && isNews(object, reason, message));
    },
  };
}
