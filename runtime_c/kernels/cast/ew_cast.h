/* Conversions between float32 and the integer types.
 *
 * Float to integer truncates toward zero, saturates at the type's ends (infinities too), and NaN gives 0: defined for
 * every input, unlike a plain C cast. Integer to float rounds to nearest, ties to even (exact for 8 and 16 bits). b8 is
 * a bool in one byte: any non-zero byte reads as true; 0 or 1 is written. A float is true where it differs from 0, NaN
 * included. */
#ifndef EW_CAST_H
#define EW_CAST_H

#include "ew_base.h"

typedef struct {
    int32_t count; /* elements of x and of y */
} ew_cast_params;

/* Every limit below is a power of two, exact in float32: values from `limit` up saturate, and the largest float under
 * it converts without overflow. */

EW_INLINE int8_t ew_value_f32_s8(float v)
{
    if (v != v) {
        return 0;
    }
    if (v < -128.0f) {
        return INT8_MIN;
    }
    if (v >= 128.0f) {
        return INT8_MAX;
    }
    return (int8_t)v;
}

EW_INLINE uint8_t ew_value_f32_u8(float v)
{
    if (v != v) {
        return 0;
    }
    if (v < 0.0f) {
        return 0;
    }
    if (v >= 256.0f) {
        return UINT8_MAX;
    }
    return (uint8_t)v;
}

EW_INLINE int16_t ew_value_f32_s16(float v)
{
    if (v != v) {
        return 0;
    }
    if (v < -32768.0f) {
        return INT16_MIN;
    }
    if (v >= 32768.0f) {
        return INT16_MAX;
    }
    return (int16_t)v;
}

EW_INLINE int32_t ew_value_f32_s32(float v)
{
    if (v != v) {
        return 0;
    }
    if (v < -2147483648.0f) {
        return INT32_MIN;
    }
    if (v >= 2147483648.0f) {
        return INT32_MAX;
    }
    return (int32_t)v;
}

EW_INLINE int64_t ew_value_f32_s64(float v)
{
    if (v != v) {
        return 0;
    }
    if (v < -9223372036854775808.0f) {
        return INT64_MIN;
    }
    if (v >= 9223372036854775808.0f) {
        return INT64_MAX;
    }
    return (int64_t)v;
}

/* y[i] = x[i] converted. Buffers do not overlap. */

EW_KERNEL void ew_cast_f32_s8(const float *restrict x, int8_t *restrict y, const ew_cast_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = ew_value_f32_s8(x[i]);
    }
}

EW_KERNEL void ew_cast_f32_u8(const float *restrict x, uint8_t *restrict y, const ew_cast_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = ew_value_f32_u8(x[i]);
    }
}

EW_KERNEL void ew_cast_f32_s16(const float *restrict x, int16_t *restrict y, const ew_cast_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = ew_value_f32_s16(x[i]);
    }
}

EW_KERNEL void ew_cast_f32_s32(const float *restrict x, int32_t *restrict y, const ew_cast_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = ew_value_f32_s32(x[i]);
    }
}

EW_KERNEL void ew_cast_f32_s64(const float *restrict x, int64_t *restrict y, const ew_cast_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = ew_value_f32_s64(x[i]);
    }
}

EW_KERNEL void ew_cast_f32_b8(const float *restrict x, uint8_t *restrict y, const ew_cast_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = x[i] != 0.0f;
    }
}

EW_KERNEL void ew_cast_s8_f32(const int8_t *restrict x, float *restrict y, const ew_cast_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = (float)x[i];
    }
}

EW_KERNEL void ew_cast_u8_f32(const uint8_t *restrict x, float *restrict y, const ew_cast_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = (float)x[i];
    }
}

EW_KERNEL void ew_cast_s16_f32(const int16_t *restrict x, float *restrict y, const ew_cast_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = (float)x[i];
    }
}

EW_KERNEL void ew_cast_s32_f32(const int32_t *restrict x, float *restrict y, const ew_cast_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = (float)x[i];
    }
}

EW_KERNEL void ew_cast_s64_f32(const int64_t *restrict x, float *restrict y, const ew_cast_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = (float)x[i];
    }
}

EW_KERNEL void ew_cast_b8_f32(const uint8_t *restrict x, float *restrict y, const ew_cast_params *p)
{
    for (int32_t i = 0; i < p->count; ++i) {
        y[i] = x[i] != 0 ? 1.0f : 0.0f;
    }
}

#endif
