export { givenScale as given } from './given.js'
export { LearnedScale as Learned, type LearnedScaleOptions } from './learned.js'
export { type StatisticScaleOptions, statisticScale as ofStatistic } from './ofStatistic.js'
export type { Scale } from './scale.js'
