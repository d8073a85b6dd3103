import Type, { type Static } from 'typebox';

/** What a program writes to its log (JSON lines on standard error). */
export const LogConfigSchema = Type.Object(
  {
    level: Type.Union(
      [
        Type.Literal('debug'),
        Type.Literal('info'),
        Type.Literal('warn'),
        Type.Literal('error'),
        Type.Literal('silent'),
      ],
      { default: 'info', description: 'The least important lines that are written.' },
    ),
  },
  { additionalProperties: false, description: 'The log: JSON lines on standard error.' },
);
export type LogConfig = Static<typeof LogConfigSchema>;
