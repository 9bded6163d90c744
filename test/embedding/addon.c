/* Another addon that uses this package's kernels and programs through the header alone. */
#include <espalier.h>
#include <node_api.h>

static espalier_out array(napi_env env, napi_value value) {
  espalier_out made = {NULL, 0, ESPALIER_FLOAT32};
  napi_typedarray_type type;
  size_t length;
  if (napi_get_typedarray_info(env, value, &type, &length, &made.data, NULL, NULL) != napi_ok) return made;
  made.length = (int64_t)length;
  made.dtype = type == napi_float32_array ? ESPALIER_FLOAT32 : ESPALIER_UINT8;
  return made;
}

static napi_value refuse(napi_env env) {
  napi_throw_error(env, "ESPALIER", espalier_last_error());
  return NULL;
}

/* classify(file, x, y): loads a program, runs it on as many samples as x holds, and gives their number. */
static napi_value classify(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value arguments[3], made;
  int64_t program, in;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  const espalier_out file = array(env, arguments[0]), x = array(env, arguments[1]), y = array(env, arguments[2]);
  const espalier_in bytes = {file.data, file.length, file.dtype}, samples = {x.data, x.length, x.dtype};
  if (espalier_program_load(bytes, &program) != ESPALIER_OK) return refuse(env);
  espalier_program_input_size(program, &in);
  const espalier_status status = espalier_program_run(program, x.length / in, samples, y);
  espalier_program_free(program);
  if (status != ESPALIER_OK) return refuse(env);
  napi_create_int64(env, x.length / in, &made);
  return made;
}

/* relu(x): a kernel call, in place. */
static napi_value relu(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument;
  napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
  const espalier_out x = array(env, argument);
  const espalier_in from = {x.data, x.length, x.dtype};
  return espalier_unary_forward(ESPALIER_UNARY_RELU, 0, 0, from, x) == ESPALIER_OK ? argument : refuse(env);
}

/* threads(): what this library's setting is, which the addon shares with the package's own. */
static napi_value threads(napi_env env, napi_callback_info info) {
  int64_t count = 0;
  napi_value made;
  (void)info;
  espalier_threads(&count);
  napi_create_int64(env, count, &made);
  return made;
}

NAPI_MODULE_INIT() {
  const napi_property_descriptor functions[] = {
      {"classify", NULL, classify, NULL, NULL, NULL, napi_enumerable, NULL},
      {"relu", NULL, relu, NULL, NULL, NULL, napi_enumerable, NULL},
      {"threads", NULL, threads, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  napi_define_properties(env, exports, 3, functions);
  return exports;
}
