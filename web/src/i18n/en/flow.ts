// Ways of several steps.
export const flow = {
  'step.done': 'done',
} as const;
