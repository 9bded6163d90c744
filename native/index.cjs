// For native code that embeds this package's: require('espalier/native') tells where its parts are.
const { join } = require('node:path')

/** The folder of espalier.h. */
exports.include = join(__dirname, 'include')

/** The addon of this platform, which exports every function of the header: another addon links against it. */
Object.defineProperty(exports, 'library', { enumerable: true, get: () => require('node-gyp-build').path(join(__dirname, '..')) })
