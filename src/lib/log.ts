import { pino, type DestinationStream, type Logger as PinoLogger } from 'pino';

/** Constant messages plus fields: `log.info({ pool, size }, 'setting pool size')`. */
export type Logger = PinoLogger;

export interface LogOptions {
  readonly level?: string;
  readonly destination?: DestinationStream;
}

/** JSON lines on stderr: stdout belongs to a command's answer. */
export function createLogger(name: string, options: LogOptions = {}): Logger {
  return pino(
    {
      name,
      level: options.level ?? 'info',
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: pino.stdSerializers.err },
    },
    options.destination ?? pino.destination({ dest: 2, sync: true }),
  );
}

export const silentLogger: Logger = pino({ level: 'silent' });
