/* Derived from native/include/espalier by scripts/bindings.mjs; run `npm run bindings` after a change there. */
#ifndef ESPALIER_CUDA_OPERATIONS_H
#define ESPALIER_CUDA_OPERATIONS_H

#include "../../espalier.h"

/* clang-format off */
ESPALIER_API espalier_status espalier_cuda_conv2d_forward(espalier_in x, espalier_in weight, espalier_in bias, int64_t relu, espalier_out y, espalier_conv2d shape);
ESPALIER_API espalier_status espalier_cuda_conv2d_data_grad(espalier_in weight, espalier_in dy, espalier_in bias, espalier_out dx, espalier_conv2d shape);
ESPALIER_API espalier_status espalier_cuda_conv2d_weight_grad(espalier_in x, espalier_in dy, espalier_out dweight, espalier_conv2d shape);
ESPALIER_API espalier_status espalier_cuda_channel_sum(int64_t n, int64_t channels, int64_t plane, espalier_in x, espalier_out sums);
ESPALIER_API espalier_status espalier_cuda_unary_forward(espalier_unary kind, double p, double q, espalier_in x, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_unary_backward(espalier_unary kind, double p, double q, espalier_in x, espalier_in y, espalier_in grad, espalier_out grad_x);
ESPALIER_API espalier_status espalier_cuda_binary_forward(espalier_binary kind, espalier_in a, espalier_in b, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_binary_scalar(espalier_binary kind, espalier_in a, double b, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_binary_middle(espalier_binary kind, int64_t outer, int64_t n, int64_t inner, espalier_in a, espalier_in b, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_binary_broadcast(espalier_binary kind, espalier_dims a_shape, espalier_dims b_shape, espalier_in a, espalier_in b, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_accumulate(espalier_in x, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_embedding_forward(espalier_in weight, espalier_in indices, espalier_out y, espalier_table shape);
ESPALIER_API espalier_status espalier_cuda_embedding_backward(espalier_in dy, espalier_in indices, int64_t padding, espalier_out dweight, espalier_table shape);
ESPALIER_API espalier_status espalier_cuda_gemm(double alpha, espalier_in a, espalier_in b, double beta, espalier_in row_bias, espalier_in column_bias, espalier_finish finish, espalier_out c, espalier_product product);
ESPALIER_API espalier_status espalier_cuda_matmul(int64_t m, int64_t n, int64_t k, int64_t transpose_a, int64_t transpose_b, espalier_dims batch_a, espalier_dims batch_b, espalier_dims batch_c, espalier_in a, espalier_in b, espalier_out c);
ESPALIER_API espalier_status espalier_cuda_column_sum(int64_t rows, int64_t columns, espalier_in x, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_cross_entropy_forward(espalier_in x, espalier_in target, espalier_in weight, espalier_reduction reduction, int64_t ignore_index, double label_smoothing, espalier_out loss, espalier_out kept, espalier_class_rows shape);
ESPALIER_API espalier_status espalier_cuda_cross_entropy_backward(espalier_in dloss, espalier_in x, espalier_in target, espalier_in weight, espalier_reduction reduction, int64_t ignore_index, double label_smoothing, espalier_in kept, espalier_out dx, espalier_class_rows shape);
ESPALIER_API espalier_status espalier_cuda_soft_cross_entropy_forward(espalier_in x, espalier_in target, espalier_in weight, espalier_reduction reduction, double label_smoothing, espalier_out loss, espalier_out kept, espalier_class_rows shape);
ESPALIER_API espalier_status espalier_cuda_soft_cross_entropy_backward(espalier_in dloss, espalier_in x, espalier_in target, espalier_in weight, espalier_reduction reduction, double label_smoothing, espalier_in kept, espalier_out dx, espalier_out dtarget, espalier_class_rows shape);
ESPALIER_API espalier_status espalier_cuda_nll_forward(espalier_in x, espalier_in target, espalier_in weight, espalier_reduction reduction, int64_t ignore_index, espalier_out loss, espalier_out divisor, espalier_class_rows shape);
ESPALIER_API espalier_status espalier_cuda_nll_backward(espalier_in dloss, espalier_in target, espalier_in weight, espalier_reduction reduction, int64_t ignore_index, espalier_in divisor, espalier_out dx, espalier_class_rows shape);
ESPALIER_API espalier_status espalier_cuda_distance_forward(espalier_distance kind, double beta, espalier_in x, espalier_in target, espalier_reduction reduction, espalier_out loss);
ESPALIER_API espalier_status espalier_cuda_distance_backward(espalier_distance kind, double beta, espalier_in dloss, espalier_in x, espalier_in target, espalier_reduction reduction, espalier_out dx, espalier_out dtarget);
ESPALIER_API espalier_status espalier_cuda_bce_with_logits_forward(espalier_in x, espalier_in target, espalier_in weight, espalier_in pos_weight, espalier_reduction reduction, espalier_out loss);
ESPALIER_API espalier_status espalier_cuda_bce_with_logits_backward(espalier_in dloss, espalier_in x, espalier_in target, espalier_in weight, espalier_in pos_weight, espalier_reduction reduction, espalier_out dx, espalier_out dtarget);
ESPALIER_API espalier_status espalier_cuda_batch_norm_train(espalier_in x, espalier_in weight, espalier_in bias, double momentum, double eps, espalier_out running_mean, espalier_out running_var, espalier_out mean, espalier_out scale, espalier_out y, espalier_channels shape);
ESPALIER_API espalier_status espalier_cuda_batch_norm_train_backward(espalier_in dy, espalier_in x, espalier_in weight, espalier_in mean, espalier_in scale, espalier_out dx, espalier_out dweight, espalier_out dbias, espalier_channels shape);
ESPALIER_API espalier_status espalier_cuda_batch_norm_eval(espalier_in x, espalier_in weight, espalier_in bias, espalier_in mean, espalier_in variance, double eps, espalier_out y, espalier_channels shape);
ESPALIER_API espalier_status espalier_cuda_batch_norm_eval_backward(espalier_in dy, espalier_in x, espalier_in weight, espalier_in mean, espalier_in variance, double eps, espalier_out dx, espalier_out dweight, espalier_out dbias, espalier_channels shape);
ESPALIER_API espalier_status espalier_cuda_layer_norm_forward(espalier_in x, espalier_in weight, espalier_in bias, double eps, espalier_out mean, espalier_out scale, espalier_out y, espalier_rows shape);
ESPALIER_API espalier_status espalier_cuda_layer_norm_backward(espalier_in dy, espalier_in x, espalier_in weight, espalier_in mean, espalier_in scale, espalier_out dx, espalier_out dweight, espalier_out dbias, espalier_rows shape);
ESPALIER_API espalier_status espalier_cuda_sgd_step(espalier_out parameter, espalier_in gradient, espalier_out velocity, espalier_in mask, espalier_mask_rule mask_rule, double lr, double momentum, double dampening, double weight_decay, int64_t nesterov, int64_t maximize, int64_t first);
ESPALIER_API espalier_status espalier_cuda_adam_step(espalier_out parameter, espalier_in gradient, espalier_out mean, espalier_out square, espalier_out largest, espalier_in mask, espalier_mask_rule mask_rule, int64_t step, double lr, double beta1, double beta2, double eps, double weight_decay, int64_t decoupled, int64_t maximize);
ESPALIER_API espalier_status espalier_cuda_rmsprop_step(espalier_out parameter, espalier_in gradient, espalier_out square, espalier_out mean, espalier_out velocity, espalier_in mask, espalier_mask_rule mask_rule, double lr, double alpha, double eps, double weight_decay, double momentum, int64_t maximize);
ESPALIER_API espalier_status espalier_cuda_scale_gradient(espalier_in x, double factor, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_clamp_gradient(espalier_in x, double limit, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_max_pool2d_forward(espalier_in x, espalier_out y, espalier_out indices, espalier_pool2d shape);
ESPALIER_API espalier_status espalier_cuda_max_pool_backward(espalier_in dy, espalier_in indices, espalier_out dx, int64_t planes, int64_t in_size, int64_t out_size);
ESPALIER_API espalier_status espalier_cuda_avg_pool2d_forward(espalier_in x, int64_t count_padding, espalier_out y, espalier_pool2d shape);
ESPALIER_API espalier_status espalier_cuda_avg_pool2d_backward(espalier_in dy, int64_t count_padding, espalier_out dx, espalier_pool2d shape);
ESPALIER_API espalier_status espalier_cuda_adaptive_avg_pool2d_forward(espalier_in x, espalier_out y, espalier_adaptive_pool2d shape);
ESPALIER_API espalier_status espalier_cuda_adaptive_avg_pool2d_backward(espalier_in dy, espalier_out dx, espalier_adaptive_pool2d shape);
ESPALIER_API espalier_status espalier_cuda_adaptive_max_pool2d_forward(espalier_in x, espalier_out y, espalier_out indices, espalier_adaptive_pool2d shape);
ESPALIER_API espalier_status espalier_cuda_fake_quant_forward(espalier_in x, espalier_in scale, espalier_in zero, espalier_in mask, int64_t outer, int64_t channels, int64_t inner, double qmin, double qmax, espalier_out y, espalier_out codes);
ESPALIER_API espalier_status espalier_cuda_fake_quant_backward(espalier_in gradient, espalier_in x, espalier_in scale, espalier_in zero, espalier_in mask, int64_t outer, int64_t channels, int64_t inner, double qmin, double qmax, espalier_rounding_gradient rule, espalier_out gradient_x, espalier_out gradient_scale);
ESPALIER_API espalier_status espalier_cuda_fake_quant_largest_forward(espalier_in x, int64_t channels, int64_t inner, double top, double smallest, double qmin, double qmax, espalier_out y, espalier_out scale, espalier_out index);
ESPALIER_API espalier_status espalier_cuda_fake_quant_largest_backward(espalier_in gradient, espalier_in x, espalier_in scale, espalier_in index, int64_t channels, int64_t inner, double smallest, double qmin, double qmax, espalier_out gradient_x);
ESPALIER_API espalier_status espalier_cuda_abs_max(espalier_in x, espalier_in mask, int64_t outer, int64_t channels, int64_t inner, espalier_out value, espalier_out index);
ESPALIER_API espalier_status espalier_cuda_budget_codes(espalier_in v, espalier_in scale, espalier_in bias, int64_t rows, int64_t fan_in, int64_t largest, espalier_out codes, espalier_accumulator accumulator);
ESPALIER_API espalier_status espalier_cuda_budget_project(espalier_in v, espalier_in scale, espalier_in mask, espalier_in bias, int64_t rows, int64_t fan_in, int64_t largest, espalier_out y, espalier_accumulator accumulator);
ESPALIER_API espalier_status espalier_cuda_requantise_forward(espalier_in x, espalier_in log_multiplier, int64_t outer, int64_t channels, int64_t inner, int64_t top, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_requantise_backward(espalier_in gradient, espalier_in x, espalier_in log_multiplier, int64_t outer, int64_t channels, int64_t inner, int64_t top, espalier_out gradient_x, espalier_out gradient_log);
ESPALIER_API espalier_status espalier_cuda_random_uniform(int64_t seed, int64_t counter, double low, double high, espalier_out y, int64_t* used);
ESPALIER_API espalier_status espalier_cuda_random_normal(int64_t seed, int64_t counter, double mean, double deviation, espalier_out y, int64_t* used);
ESPALIER_API espalier_status espalier_cuda_random_bernoulli(int64_t seed, int64_t counter, double p, double value, espalier_out y, int64_t* used);
ESPALIER_API espalier_status espalier_cuda_random_permutation(int64_t seed, int64_t counter, espalier_out y, int64_t* used);
ESPALIER_API espalier_status espalier_cuda_sum(espalier_dims shape, espalier_dims reduced, double divisor, espalier_in x, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_extreme(int64_t outer, int64_t n, int64_t inner, int64_t sign, espalier_in x, espalier_out values, espalier_out indices);
ESPALIER_API espalier_status espalier_cuda_place(int64_t outer, int64_t n, int64_t inner, espalier_in values, espalier_in indices, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_copy_strided(espalier_dims shape, espalier_dims x_strides, int64_t x_offset, espalier_dims y_strides, int64_t y_offset, espalier_in x, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_take(int64_t outer, int64_t n, int64_t inner, espalier_in x, espalier_in indices, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_take_backward(int64_t outer, int64_t n, int64_t inner, espalier_in grad, espalier_in indices, espalier_out grad_x);
ESPALIER_API espalier_status espalier_cuda_choose(espalier_in mask, espalier_in a, espalier_in b, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_softmax_forward(espalier_in x, espalier_out y, espalier_strip shape);
ESPALIER_API espalier_status espalier_cuda_softmax_backward(espalier_in dy, espalier_in y, espalier_out dx, espalier_strip shape);
ESPALIER_API espalier_status espalier_cuda_log_softmax_forward(espalier_in x, espalier_out y, espalier_strip shape);
ESPALIER_API espalier_status espalier_cuda_log_softmax_backward(espalier_in dy, espalier_in y, espalier_out dx, espalier_strip shape);
ESPALIER_API espalier_status espalier_cuda_lamp_score(espalier_in x, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_distance_sums(espalier_in x, int64_t rows, int64_t columns, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_sparse_integer_create(int64_t rows, int64_t columns, espalier_in weight, espalier_in mask, espalier_integer_kernel kernel, int64_t low, int64_t high, int64_t bits, int64_t* matrix);
ESPALIER_API espalier_status espalier_cuda_sparse_integer_free(int64_t matrix);
ESPALIER_API espalier_status espalier_cuda_sparse_integer_size(int64_t matrix, int64_t* count);
ESPALIER_API espalier_status espalier_cuda_sparse_integer_unpack(int64_t matrix, espalier_out weight);
ESPALIER_API espalier_status espalier_cuda_sparse_integer_kernel_of(int64_t matrix, const char** name);
ESPALIER_API espalier_status espalier_cuda_sparse_integer_sum_bits(int64_t matrix, int64_t* bits);
ESPALIER_API espalier_status espalier_cuda_sparse_integer_needed_bits(int64_t matrix, int64_t* bits);
ESPALIER_API espalier_status espalier_cuda_sparse_integer_cost(int64_t matrix, int64_t samples, double* nanoseconds);
ESPALIER_API espalier_status espalier_cuda_sparse_integer_bytes(int64_t matrix, int64_t* bytes);
ESPALIER_API espalier_status espalier_cuda_sparse_integer_code_size(int64_t matrix, int64_t* bytes);
ESPALIER_API espalier_status espalier_cuda_integer_spmm(int64_t matrix, int64_t samples, espalier_sparse_layout layout, espalier_in x, espalier_in start, espalier_finish finish, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_slice_norm(espalier_dims shape, espalier_dims reduced, double p, espalier_in x, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_prune_smallest(espalier_in_list scores, espalier_in_list masks, int64_t magnitude, int64_t k, espalier_out_list results, double* threshold);
ESPALIER_API espalier_status espalier_cuda_keep_largest(espalier_in scores, espalier_in mask, int64_t magnitude, int64_t rows, int64_t columns, int64_t keep, espalier_out result);
ESPALIER_API espalier_status espalier_cuda_prune_groups(espalier_in scores, espalier_in mask, int64_t magnitude, int64_t outer, int64_t size, int64_t inner, espalier_in falling, espalier_out result);
ESPALIER_API espalier_status espalier_cuda_count_groups(espalier_in mask, int64_t outer, int64_t size, int64_t inner, espalier_out counts);
ESPALIER_API espalier_status espalier_cuda_count_at_most(espalier_in_list scores, espalier_in_list masks, int64_t magnitude, double threshold, int64_t strictly, int64_t* count);
ESPALIER_API espalier_status espalier_cuda_count_ones(espalier_in mask, int64_t* ones);
ESPALIER_API espalier_status espalier_cuda_apply_mask(espalier_in x, espalier_in mask, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_abs_kth(espalier_in x, int64_t outer, int64_t channels, int64_t inner, int64_t k, espalier_out value, espalier_out index);
/* clang-format on */

#endif
