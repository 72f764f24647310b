// The functions that each backend provides, the members of its Kernels. No include guard: see kernels.h.

static void max_pool(const Tensor& input, const Pooling&, bool relu, bool channels_last, Tensor& output,
                     Tensor& switches);
static void max_unpool(const Tensor& input, const Tensor& switches, const Tensor* gate, const Pooling&,
                       bool channels_last, Tensor& output);
static void gather_by_switch(const Tensor& input, const Tensor& switches, const Tensor* gate, const Pooling&,
                             bool channels_last, Tensor& output);

static void lrn(const Tensor& input, const Norm&, bool channels_last, Tensor& output);
static void lrn_backward(const Tensor& grad, const Tensor& input, const Norm&, bool channels_last, Tensor& output);
static void relu_max_pool_lrn(const Tensor& input, const Pooling&, const Norm&, bool channels_last, Tensor& output,
                              Tensor& switches, Tensor* pooled);

static void occlude(const Tensor& image, const Tensor& fill, const Tensor& origins, int64_t window_rows,
                    int64_t window_columns, bool channels_last, Tensor& output);

// Here base is channels_last and the others are contiguous; have and want are not checked, as a GPU cannot in time.
static void gather_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want,
                           double fill, Tensor& output);
static void unfold_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want,
                           const WindowAxis& y, const WindowAxis& x, Tensor& output);
static void pool_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want,
                         const WindowAxis& y, const WindowAxis& x, bool sum, Tensor& output);
