import type { Observer } from './observer.js'

/** The largest magnitude seen: nothing is clipped, and a single outlier costs resolution everywhere. */
export const minMax: Observer = { name: 'min-max', threshold: ({ largest }) => largest }
