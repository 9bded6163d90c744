export * from './conv1d.js'
export * from './conv2d.js'
export * from './convTranspose2d.js'
export * from './relu.js'
