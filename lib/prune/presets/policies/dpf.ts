import { global } from '../../amounts/global.js'
import { straightThrough } from '../../gradients/straightThrough.js'
import type { PrunerOptions } from '../../pruner.js'
import { type FeedbackOptions, feedback } from '../../schedules/feedback.js'
import { l1 } from '../../scores/l1.js'
import { element } from '../../structures/element.js'

/** Dynamic pruning with feedback: dense weights learn from the pruned model's gradients; masks every 16 steps. Lin et al. 2020. */
export const dpf = ({ sparsity, ...times }: { sparsity: number } & FeedbackOptions): PrunerOptions => ({
  score: l1,
  structure: element,
  amount: global(sparsity),
  schedule: feedback(times),
  gradient: straightThrough,
})
