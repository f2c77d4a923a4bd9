{# How a share of good ones stands; a share of nothing is no_data, never healthy. #}
{% macro health(share) -%}
case
        when {{ share }} is null then 'no_data'
        when {{ share }} >= 0.9 then 'healthy'
        when {{ share }} >= 0.7 then 'warning'
        else 'critical'
    end
{%- endmacro %}
