import type { Statistic } from './statistic.js'

/** The weight when the pruner was made: what a lottery ticket is rewound to. */
export const initialWeight: Statistic = {
  name: 'initialWeight',
  onStart: (kept, weight) => kept.data.set(weight.data as never),
}
