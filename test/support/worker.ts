// A worker thread that trains; it tells of every step, and of its digest at the end.
import { parentPort, workerData } from 'node:worker_threads'
import { train } from './training.js'

const { steps } = workerData as { steps: number }
const digest = train(steps, (step) => parentPort?.postMessage({ step }))
parentPort?.postMessage({ digest })
