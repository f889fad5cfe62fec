import type { Clock } from '../lib/clock.ts';

/** One step of a long command, as the person sees it. */
export interface Step {
  /** What it waits for, or how far it is. */
  detail(text: string): void;
}

export interface Progress {
  /** Runs `body` as a step: its title, its time while it runs, and how it ended. */
  step<T>(title: string, body: (step: Step) => Promise<T>): Promise<T>;
  /** Every finished step, in order. */
  readonly finished: readonly { readonly title: string; readonly ms: number }[];
}

export interface Screen {
  write(text: string): void;
  readonly isTerminal: boolean;
  /** Columns of the terminal. */
  readonly width: number;
}

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const frameMs = 100;

export const formatSeconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** A live line on a terminal; elsewhere a plain line at each start, change and end. */
export function createProgress(screen: Screen, clock: Clock): Progress {
  const finished: { title: string; ms: number }[] = [];
  return {
    finished,
    async step(title, body) {
      const startedMs = clock.now();
      const elapsed = () => formatSeconds(clock.now() - startedMs);
      let detail = '';
      let frame = 0;
      const fit = (line: string) =>
        line.length < screen.width ? line : `${line.slice(0, Math.max(0, screen.width - 2))}…`;
      const draw = () => {
        const line = `${frames[frame++ % frames.length]} ${title}  ${elapsed()}${detail ? `  ${detail}` : ''}`;
        screen.write(`\r\x1b[2K${fit(line)}`);
      };
      const timer = screen.isTerminal ? setInterval(draw, frameMs) : undefined;
      if (screen.isTerminal) draw();
      else screen.write(`     ${title}\n`);
      const end = (mark: string, text: string) => {
        clearInterval(timer);
        const line = `${mark} ${title}  ${elapsed()}${text ? `  ${text}` : ''}`;
        screen.write(screen.isTerminal ? `\r\x1b[2K${line}\n` : `${line}\n`);
      };
      try {
        const result = await body({
          detail(text) {
            if (text === detail) return;
            detail = text;
            if (screen.isTerminal) draw();
            else if (text) screen.write(`     ${title}  ${elapsed()}  ${text}\n`);
          },
        });
        finished.push({ title, ms: clock.now() - startedMs });
        end(screen.isTerminal ? '✓' : 'ok  ', detail);
        return result;
      } catch (error) {
        end(screen.isTerminal ? '✗' : 'FAIL', detail);
        throw error;
      }
    },
  };
}
